// Finding a phone number in text however it is written, and writing another in its place the same way.
import { isNumber, quiet, said } from './tag';
import type { Shown } from './types';

/** Calling codes of one and two digits; all others have three (ITU-T E.164, list of assigned codes). */
const CODE = /^([17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|...)(.*)/;
/** What stands between digits: spaces of any kind, dots, dashes, brackets, slashes, and marks that are not seen; where a line breaks in the source, its indentation. */
const GAP = '[\\s\\xad\\xb7\\u200b-\\u2069\\u2212()[\\]./_-]{0,60}';
/** What shows that the digits before a match belong to it: then it is another, longer number. */
const BEFORE = /(\d[-./]?|(\+|\b00\d)\d{0,3}[ ().-]{0,3})$/;

/** Tracking numbers that were written into the page. */
export const standing = new Set<string>();

/** How one number of the page is found, and what is shown instead. */
export interface Rule {
    from: string;
    to: Shown;
    pattern: RegExp;
    code: string;
    own: string;
}

function parts(number: string): string[] {
    return CODE.exec(number.slice(1))!.slice(1);
}

function spread(digits: string): string {
    return digits.split('').join(GAP);
}

export function rule(from: string, to: Shown): Rule {
    const [code, own] = parts(from);
    // What stands before a national number: 0 in most countries, 8 in Russia, 06 in Hungary.
    const trunk = { 7: '8', 36: '06' }[code] || '0';
    const abroad = `((?:\\+|0?011|00)${GAP})?${spread(code)}${GAP}(?:0${GAP})?`;
    // A hyphen, dot or slash and more digits would be a direct line of that number: another number.
    const start = '(^|\\W|[a-z](?=[([]))';
    const pattern = new RegExp(`${start}[([]?(?:${abroad}|${trunk}${GAP})?${spread(own)}(?![-./]?\\d)`, 'gi');
    return { from, to, pattern, code, own };
}

/** Puts the other number's digits in place of the last ones; nothing if it does not fit. */
function inPlace(found: string, rule: Rule): string[] | undefined {
    const [code, own] = parts(rule.to.number);
    if (code !== rule.code || own.length !== rule.own.length) return undefined;
    const out = found.split('');
    let left = own.length;
    for (let at = out.length - 1; left; at--) if (/\d/.test(out[at])) out[at] = own[--left];
    return out;
}

function anew(found: string, abroad: string | undefined, rule: Rule): string[] {
    const { number, national, international } = rule.to;
    const text = (!abroad && parts(number)[0] === rule.code && national) || international || number;
    const out: string[] = Array(found.length).fill('');
    // A bracket around the whole number stays: the other one was not found.
    out[0] = (/^[([][^)\]]*$/.test(found) ? found[0] : '') + text;
    return out;
}

/**
 * The text with all numbers replaced, one item a character of it, so that it can be dealt out to the nodes it came
 * from. Nothing if there is none to replace.
 */
export function rewrite(text: string, rules: Rule[]): string[] | undefined {
    let out: string[] | undefined;
    for (const rule of rules) {
        text.replace(rule.pattern, (found: string, start: string, abroad: string | undefined, at: number) => {
            at += start.length;
            found = found.slice(start.length);
            if (BEFORE.test(text.slice(Math.max(0, at - 12), at))) return '';
            const { extension } = rule.to;
            const shown = inPlace(found, rule) || anew(found, abroad, rule);
            if (extension) shown[shown.length - 1] += ` ${said('extension') || 'ext.'} ${extension}`;
            out = out || text.split('');
            out.splice(at, found.length, ...shown);
            standing.add(rule.to.number);
            return '';
        });
    }
    return out;
}

/** Scheme, number and the rest of a `tel:` URI (RFC 3966); browsers take separators and escapes in it. */
function telParts(href: string): string[] | undefined {
    const found = /^(\s*tel:)([^;,?]*)(.*)$/i.exec(href);
    return found ? [found[1], quiet(() => decodeURIComponent(found[2])) || found[2], found[3]] : undefined;
}

/** The rule whose number this is, with nothing around it. */
function ruleOf(number: string, rules: Rule[]): Rule | undefined {
    return rules.filter((rule) => /\d/.test(number) && !/[^\s/().-]/.test(number.replace(rule.pattern, '')))[0];
}

/** A link to the other number, in parts; nothing if it calls none of those to be replaced. */
export function rewriteTel(href: string, rules: Rule[]): string[] | undefined {
    const found = telParts(href);
    const rule = found && ruleOf(found[1], rules);
    if (!rule) return undefined;
    standing.add(rule.to.number);
    const [scheme, , rest] = found!;
    const { number, extension } = rule.to;
    const own = /;ext=[^;,?]*/i;
    // Two pauses and the digits, which phones dial; `;ext=` only where the page itself used it.
    const end = !extension ? rest : own.test(rest) ? rest.replace(own, ';ext=' + extension) : ',,' + extension + rest;
    return [scheme, number, end];
}

/** The number that a link calls, in E.164 if that can be told. */
export function called(href: string, rules: Rule[]): string | undefined {
    const found = telParts(href);
    if (!found) return undefined;
    const rule = ruleOf(found[1], rules);
    const number = rule ? rule.from : found[1].replace(/[^\d+]/g, '');
    return isNumber(number) ? number : undefined;
}
