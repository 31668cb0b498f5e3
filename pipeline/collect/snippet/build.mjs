// Builds callweave.js, or the file named as argument. The same source and the same package-lock.json give the same
// bytes on every machine: no date, no path and no version of a tool gets in.
//
// esbuild bundles; terser minifies, for its output is 4 % smaller when packed, and every visitor loads it.
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { minify } from 'terser';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const { version } = JSON.parse(await readFile(here('package.json'), 'utf8'));

const bundled = await build({
    absWorkingDir: here('.'),
    entryPoints: ['src/main.ts'],
    bundle: true,
    write: false,
    format: 'iife',
    target: 'es2019',
    tsconfigRaw: '{}', // else it writes "use strict", which takes room and changes nothing
    charset: 'ascii',
    legalComments: 'none',
    logLevel: 'warning',
});
const { code } = await minify(bundled.outputFiles[0].text, {
    ecma: 2019,
    // Reading a member does nothing here, and nothing is named like a built-in and is none.
    compress: { passes: 4, pure_getters: true, unsafe: true },
    // Members that never leave the script: not stored, not sent, not the browser's.
    mangle: { properties: { regex: /^(original|shown|times|since|pattern|own|code|answered|allowed)$/ } },
    format: { ascii_only: true, preamble: `/*! callweave ${version} | Apache-2.0 */` }, // right in any charset
});
await writeFile(process.argv[2] ?? here('callweave.js'), code + '\n');
