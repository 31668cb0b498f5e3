// Where things are kept: a cookie, which subdomains and the collector can read; local storage where there are no
// cookies; memory where both are forbidden.
import { quiet, said } from './tag';

const memory: Record<string, string> = {};

export function read(name: string): string | undefined {
    return (
        quiet(() => ('; ' + document.cookie).split('; ' + name + '=')[1].split(';')[0]) ||
        quiet(() => localStorage.getItem(name)) ||
        memory[name]
    );
}

function cookie(name: string, value: string, seconds: number): void {
    const domain = said('cookie-domain');
    document.cookie =
        `${name}=${value};max-age=${seconds};path=/;samesite=lax` +
        (domain && ';domain=' + domain) +
        (location.protocol === 'https:' ? ';secure' : '');
}

/** `value` must be made of characters that a cookie may have. */
export function write(name: string, value: string, seconds: number): void {
    memory[name] = value;
    quiet(() => cookie(name, value, seconds));
    if (quiet(() => document.cookie.includes(name + '=' + value))) return;
    quiet(() => localStorage.setItem(name, value));
}

export function erase(name: string): void {
    delete memory[name];
    quiet(() => cookie(name, '', 0));
    quiet(() => localStorage.removeItem(name));
}
