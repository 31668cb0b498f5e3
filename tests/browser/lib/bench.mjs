// One browser, one collector and one server of pages for a file of tests; for each test a visitor of its own.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach } from 'node:test';
import { chromium } from 'playwright-core';
import { Collector, html, pages } from './collector.mjs';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
// Without these Chromium asks for hosts that are of no concern here.
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
const more = ['--disable-component-update', '--disable-sync'];

export async function launch(options = {}) {
    if (!existsSync(executablePath)) throw new Error(`no browser at ${executablePath}: install Debian's chromium`);
    const start = () => chromium.launch({ executablePath, args: [...args, ...more], ...options });
    // Chromium was seen to crash (SIGSEGV) at a start, before any page.
    return start().catch((error) => {
        if (!/signal=SIG/.test(String(error))) throw error;
        console.error('the browser crashed at its start, and is started once more');
        return start();
    });
}

export function folder() {
    const path = mkdtempSync(join(tmpdir(), 'callweave-browser-'));
    return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** No test takes nearly as long, on a busy machine either. */
const PATIENCE_MS = 90000;

const CLOSE_MS = 15000;

/** Whether it ends in time. */
const ends = (work) => {
    let timer;
    const late = new Promise((done) => (timer = setTimeout(done, CLOSE_MS, false)));
    return Promise.race([work.then(() => true), late]).finally(() => clearTimeout(timer));
};

/** `options`: of the browser. What is given is filled before each test. */
export function bench(options) {
    const it = {};
    let watchdog;
    after(() => it.browser && ends(it.browser.close()));
    beforeEach(async (test) => {
        if (!it.browser?.isConnected()) it.browser = await launch(options);
        // What waits for the browser then fails, and says where it stood.
        watchdog = setTimeout(() => {
            console.error(`${test.name}: over after ${PATIENCE_MS} ms`);
            it.browser.close();
        }, PATIENCE_MS);
        it.collector = await Collector.start();
        it.pages = await pages();
        it.context = await it.browser.newContext();
        it.errors = [];
        it.context.on('weberror', (error) => it.errors.push(String(error.error())));
        /** Serves a page and gives its URL. */
        it.serve = (inner, settings = {}, path = '/') => {
            it.pages.all.set(path, html(it.collector, inner, settings));
            return it.pages.origin + path;
        };
        /** Opens a page of this inside. */
        it.open = async (inner, settings = {}, query = '') => {
            const page = await it.context.newPage();
            await page.goto(it.serve(inner, settings) + query);
            return page;
        };
        it.text = (page, selector) => page.locator(selector).textContent();
        /** Waits until an element has this text. */
        it.shows = (page, selector, text) =>
            page.waitForFunction(
                ([selector, text]) => document.querySelector(selector)?.textContent === text,
                [selector, text],
                { timeout: 10000 },
            );
    });
    afterEach(async () => {
        clearTimeout(watchdog);
        // Chromium was seen to hang here after a window that closed itself: the next test gets another browser then.
        if (it.context && !(await ends(it.context.close()))) {
            console.error('the browser does not close its pages; leaving it');
            it.browser = undefined;
        }
        await it.collector?.close();
        await it.pages?.close();
    });
    return it;
}
