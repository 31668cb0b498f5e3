// The real program, as its users run it.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { folder } from './bench.mjs';

const binary = process.env.CALLWEAVE_BIN;
/** Nothing takes nearly as long, on a busy machine either. */
const PATIENCE_MS = 90000;

// What the machine's own configuration says is of no concern here.
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('CALLWEAVE_')));

/** Waits until `look` gives something; `what` is told where it does not: text, or what makes it then. */
export async function until(what, look) {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
        const found = await look();
        if (found) return found;
        if (Date.now() > end) throw new Error(`waited in vain for ${typeof what === 'function' ? what() : what}`);
        await new Promise((done) => setTimeout(done, 200));
    }
}

export class Program {
    said = [];

    /** `configuration` is TOML; `settings` are those of the account acme. */
    static async up(configuration, settings) {
        const program = new Program();
        program.place = folder();
        writeFileSync(join(program.place.path, 'callweave.toml'), configuration);
        writeFileSync(join(program.place.path, 'acme.json'), JSON.stringify(settings));
        const listen = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--log-format', 'json'];
        program.child = spawn(binary, ['up', '--data', 'data', ...listen], {
            cwd: program.place.path,
            env,
            stdio: ['ignore', 'ignore', 'pipe'],
        });
        createInterface({ input: program.child.stderr }).on('line', (line) => {
            program.said.push(line);
            try {
                program.address = JSON.parse(line).collect ?? program.address;
            } catch {
                // Not a message of its log.
            }
        });
        await until('the program to listen', () => {
            if (program.child.exitCode !== null) throw new Error(`it ended: ${program.said.join('\n')}`);
            return program.address;
        });
        program.origin = `http://localhost:${program.address.split(':').at(-1)}`;
        return program;
    }

    async sql(query) {
        const { stdout } = await promisify(execFile)(binary, ['sql', '--data', 'data', '--format', 'ndjson', query], {
            cwd: this.place.path,
            env,
        });
        return stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line));
    }

    async stop() {
        if (this.child.exitCode === null) {
            this.child.kill('SIGTERM');
            await once(this.child, 'exit');
        }
        this.place.remove();
    }
}
