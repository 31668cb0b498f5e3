// What the page says of itself on the script's tag.

// A tag manager may run the script where there is no current one.
const tag = (document.currentScript || document.querySelector('script[data-site]')) as HTMLScriptElement | null;

export function said(name: string): string {
    return (tag && tag.getAttribute('data-' + name)) || '';
}

export function words(text: string): string[] {
    return text.split(/[\s,]+/).filter(Boolean);
}

/** Runs what may fail: nothing that goes wrong in here is the page's trouble. */
export function quiet<T>(run: () => T): T | undefined {
    try {
        return run();
    } catch {
        return undefined;
    }
}

/** Whether this is E.164. */
export function isNumber(text: string): boolean {
    return /^\+[1-9]\d{6,14}$/.test(text);
}

/** 145 random bits. */
export function random(): string {
    const parts = crypto.getRandomValues(new Uint32Array(5));
    return Array.from(parts, (part) => part.toString(36)).join('');
}

export const site = said('site');
export const asked = words(said('replace')).filter(isNumber);

/** The folder that the script came from, unless the page hosts it itself. */
export const collector = quiet(() => new URL('.', said('collector') || tag!.src).href);
