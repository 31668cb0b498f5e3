// The script that is checked in is the one that its source makes, it is small, and old enough browsers read it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { folder } from './lib/bench.mjs';

const source = fileURLToPath(new URL('../../pipeline/collect/snippet', import.meta.url));
const built = readFileSync(join(source, 'callweave.js'));
const BYTES_MAX = 6144;

test('the script is what its source makes', (t) => {
    const temporary = folder();
    t.after(temporary.remove);
    const out = join(temporary.path, 'callweave.js');
    execFileSync('npm', ['run', '--silent', 'build', '--', out], { cwd: source, stdio: ['ignore', 'ignore', 'inherit'] });
    assert.ok(readFileSync(out).equals(built), 'callweave.js is not current: npm ci && npm run build, and check it in');
});

test('its types fit', () => {
    execFileSync('npm', ['run', '--silent', 'check'], { cwd: source, stdio: ['ignore', 'inherit', 'inherit'] });
});

test('it is small', () => {
    const bytes = gzipSync(built, { level: 9 }).length;
    assert.ok(bytes < BYTES_MAX, `${bytes} bytes when packed`);
});

test('it needs no leave of a policy, and no other script', () => {
    const text = built.toString();
    assert.doesNotMatch(text, /\beval\b|new Function|innerHTML|document\.write|\.style\b|\bimport\b/);
    assert.doesNotMatch(text, /\?\.|\?\?|\(\?<[=!]/); // newer than ES2019, or than Safari 16.4
    assert.match(text, /^[\n\x20-\x7e]*$/);
    assert.match(text, /^\/\*! callweave [\d.]+ \| Apache-2\.0 \*\//);
});
