// Opens the dashboard in Superset as somebody who logs in, waits for all charts and takes their picture.
//     screenshot.mjs ADDRESS IMAGE
// Prints `charts: N, errors: N`.
import { createRequire } from 'node:module';

const require = createRequire(new URL('../browser/package.json', import.meta.url));
const { chromium } = require('playwright-core');
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const [address, image] = process.argv.slice(2);

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
try {
    // As high as the dashboard: Superset draws only what is in view.
    const page = await browser.newPage({ viewport: { width: 1280, height: 1540 }, deviceScaleFactor: 0.65 });
    await page.goto(`${address}/login/`);
    await page.fill('#username', 'admin');
    await page.fill('#password', 'admin');
    await page.press('#password', 'Enter');
    await page.waitForURL((url) => !url.pathname.includes('login'), { timeout: 60000 });
    await page.goto(`${address}/superset/dashboard/callweave/?expand_filters=0`);
    const drawn = () => {
        const holders = [...document.querySelectorAll('[data-test="chart-container"]')];
        return holders.filter((holder) => holder.querySelector('canvas, table, .header-line')).length;
    };
    await page.waitForFunction(`(${drawn})() >= 10 && !document.querySelector('[data-test="loading-indicator"]')`, undefined, { timeout: 90000, polling: 500 })
        .catch(() => undefined);
    // Bars and lines grow into their places.
    await page.waitForTimeout(2000);
    await page.screenshot({ path: image });
    const errors = await page.locator('.ant-alert-error, [data-test="error-message"], .ant-empty').count();
    console.log(`charts: ${await page.evaluate(drawn)}, errors: ${errors}`);
} finally {
    await browser.close();
}
