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
    const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
    await page.goto(`${address}/login/`);
    await page.fill('#username', 'admin');
    await page.fill('#password', 'admin');
    await page.press('#password', 'Enter');
    await page.waitForURL((url) => !url.pathname.includes('login'), { timeout: 60000 });
    await page.goto(`${address}/superset/dashboard/callweave/?standalone=1`);
    const charts = page.locator('.dashboard-chart-id-1, [data-test="chart-container"]');
    await charts.first().waitFor({ timeout: 60000 });
    await page.waitForFunction(() => {
        const holders = document.querySelectorAll('[data-test="chart-container"]');
        const loading = document.querySelectorAll('[data-test="loading-indicator"], .loading');
        return holders.length >= 10 && loading.length === 0;
    }, undefined, { timeout: 60000, polling: 500 });
    // Bars and lines grow into their places.
    await page.waitForTimeout(2000);
    const shown = await page.locator('[data-test="chart-container"]').count();
    const errors = await page.locator('.ant-alert-error, [data-test="error-message"], .ant-empty').count();
    await page.screenshot({ path: image, fullPage: true });
    console.log(`charts: ${shown}, errors: ${errors}`);
} finally {
    await browser.close();
}
