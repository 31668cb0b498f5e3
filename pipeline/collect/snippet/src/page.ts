// Writes numbers into the page, and keeps them there whatever the page does.
import { type Rule, rewrite, rewriteTel, standing } from './match';
import { quiet, said, words } from './tag';

/** What a text or an attribute was, and what it was made. */
interface Mark {
    original: string;
    shown: string;
}

/** Nothing in here is ever changed: what a person edits, and what is not shown. */
const KEEP = 'script,style,textarea,noscript,template,title,[data-callweave=off]';
/** A number may be split over these: they do not break a line. Custom elements do not either, unless told to. */
const INLINE =
    /^(a|abbr|b|bd[io]|code|em|font|i|ins|label|mark|nobr|s|small|span|strong|su[bp]|time|u|wbr|.+-.+)$/;
/** Nodes on each side that one number may be split over. */
const REACH = 8;
/** So much is written within a second, and no more: else a page that writes its own text back, be it in new nodes, would hang. */
const PATIENCE = 2000;

const marks = new WeakMap<Node, Record<string, Mark>>();
const attributes = ['href', ...words(said('callweave-attributes'))];
/** And those that single elements name for themselves. */
const watched = [...attributes];
const options = { childList: true, characterData: true, subtree: true, attributeFilter: watched };
/** Texts that were looked at in this turn. */
const done = new Set<Node>();
let rules: Rule[] = [];
let observer: MutationObserver | undefined;
/** What was written since then. */
let times = 0;
let since = 0;

const isText = (node: Node): node is Text => node.nodeType === 3;
const isInline = (node: Node) => INLINE.test((node as Element).localName);

function now(node: Node, key: string): string {
    return isText(node) ? node.data : (node as Element).getAttribute(key) || '';
}

/** The text as the page wrote it: ours is only what it still is. */
function original(node: Node, key = ''): string {
    const text = now(node, key);
    const mark = (marks.get(node) || {})[key];
    return mark && mark.shown === text ? mark.original : text;
}

function put(node: Node, base: string, parts: string[] | undefined, key = ''): void {
    const shown = parts ? parts.join('') : base;
    if (shown === now(node, key)) return;
    if (Date.now() - since > 1000) [times, since] = [0, Date.now()];
    if (times++ > PATIENCE) return;
    const all = marks.get(node) || {};
    all[key] = { original: base, shown };
    marks.set(node, all);
    if (isText(node)) node.data = shown;
    else (node as Element).setAttribute(key, shown);
}

function kept(element: Element | null): boolean {
    return !!element && ((element as HTMLElement).isContentEditable || !!element.closest(KEEP));
}

/** The next text that may stand on the same line; nothing at the end of the line. */
function neighbour(at: Node, beside: 'previousSibling' | 'nextSibling', inside: 'lastChild' | 'firstChild'): Text | undefined {
    for (;;) {
        while (!at[beside]) {
            if (!at.parentNode || !isInline(at.parentNode)) return undefined;
            at = at.parentNode;
        }
        at = at[beside]!;
        while (isInline(at) && at[inside]) at = at[inside]!;
        if (isText(at)) return kept(at.parentElement) ? undefined : at;
        if (at.nodeType !== 8 && !isInline(at)) return undefined;
    }
}

function changeText(node: Text): void {
    if (done.has(node) || !/\d/.test(node.data) || kept(node.parentElement)) return;
    const run = [node];
    for (let at: Text | undefined = node; run.length < REACH && (at = neighbour(at, 'previousSibling', 'lastChild')); ) run.unshift(at);
    for (let at: Text | undefined = node; run.length < 2 * REACH && (at = neighbour(at, 'nextSibling', 'firstChild')); ) run.push(at);
    const texts = run.map((text) => original(text));
    const whole = rewrite(texts.join(''), rules);
    run.forEach((text, at) => {
        const base = texts[at];
        done.add(text);
        // Alone where its neighbours' digits, which may stand far away on the screen, make another number of it.
        put(text, base, whole ? whole.splice(0, base.length) : rewrite(base, rules));
    });
}

function changeElement(element: Element): void {
    for (const key of attributes.concat(words(element.getAttribute('data-callweave') || ''))) {
        if (!element.hasAttribute(key) || kept(element)) continue;
        const base = original(element, key);
        put(element, base, (key === 'href' ? rewriteTel : rewrite)(base, rules), key);
        if (!watched.includes(key)) {
            watched.push(key);
            observer!.observe(element.getRootNode(), options);
        }
    }
    if (element.shadowRoot) watch(element.shadowRoot);
}

function changeOne(node: Node): void {
    if (isText(node)) changeText(node);
    else if (node.nodeType === 1) changeElement(node as Element);
}

/** A node and all in it. */
function change(node: Node): void {
    const walker = document.createTreeWalker(node, 5); // elements and texts
    for (let at: Node | null = node; at; at = walker.nextNode()) changeOne(at);
}

/** A document or shadow root: what is in it, and what comes. */
function watch(root: Node): void {
    observer = observer || new MutationObserver((records) => quiet(() => changed(records)));
    observer.observe(root, options);
    change(root);
}

// Runs before the browser paints, so that nobody sees what the page had written. Our own changes come by here too; a
// node that shows what we made of it is left as it is, so that this ends.
function changed(records: MutationRecord[]): void {
    done.clear();
    for (const { type, target, addedNodes } of records) {
        if (type === 'childList') addedNodes.forEach(change);
        else changeOne(target);
    }
}

/** Shows these numbers from now on, and where there are none the page's own again. */
export function show(next: Rule[]): void {
    standing.clear();
    rules = next;
    look();
}

/** Shadow roots of the parser and of elements that were defined late come without a mutation. */
export function look(): void {
    done.clear();
    if (observer || rules.length) watch(document);
}

/** Sees shadow roots when they are made: nothing else tells of them. */
export function hook(): void {
    const attach = Element.prototype.attachShadow;
    Element.prototype.attachShadow = function (init) {
        const root = attach.call(this, init);
        quiet(() => init.mode === 'open' && observer && watch(root));
        return root;
    };
}
