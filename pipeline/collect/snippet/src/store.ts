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

function cookie(name: string, value: string, seconds: number, domain = said('cookie-domain')): void {
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
    // The collector may have set it for any domain above.
    const parts = location.hostname.split('.');
    do quiet(() => cookie(name, '', 0, parts.join('.')));
    while (parts.shift());
    quiet(() => localStorage.removeItem(name));
}
