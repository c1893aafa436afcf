import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { psnr } from "../../src/evaluation/similarity.ts";
import { requestDevice } from "../../src/node/device.ts";
import { directory } from "../../src/node/files.ts";
import { encodePng, readImage, readText } from "../../src/node/images.ts";
import { TryOnPipeline } from "../../src/pipelines/try-on.ts";
import { drawnDataset } from "../../src/training/data/drawn.ts";
import { agnosticMask } from "../../src/vision/agnostic.ts";
import type { GrayImage } from "../../src/vision/image.ts";
import { root, scratch } from "../cli/run.ts";
import {
  artefact,
  browserPath,
  launch,
  openPage,
  servePage,
  tasksDuring,
  type Served,
  type Watched,
} from "./browser.ts";

declare const asked: { call?: string; input: { mask: GrayImage; person: number } & number[] }[]; // in the page

const executable = browserPath();
/** Of the checkpoint that ships: the page begins with the half-body model where there is one. */
const model = existsSync(join(root, "weights/ootd/ootd_hd")) ? "hd" : "dc";
const framing = model === "hd" ? "half" : "whole";

/** Waits until a run has ended. @returns its error's text, empty when it went well */
async function runEnded(page: Page): Promise<string> {
  await page.locator("#cancel").waitFor({ state: "hidden" });
  return page.locator("#run-error").innerText();
}

async function set(page: Page, values: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, value] of Object.entries(values)) {
    const field = page.locator(`#settings [name="${name}"]`);
    if ((await field.evaluate(({ tagName }) => tagName)) === "SELECT") await field.selectOption(value);
    else await field.fill(value);
  }
}

/** The mask that the last run was asked to use. */
const maskUsed = (page: Page): Promise<number[]> =>
  page.evaluate(() => [...asked.filter(({ call }) => call === "tryOn").at(-1)!.input.mask.data]);

describe.runIf(executable)("the page in a browser", { timeout: 300_000 }, () => {
  let served: Served;
  let browser: Browser;
  let watching: Watched;
  let page: Page;

  beforeAll(async () => {
    served = await servePage();
    browser = await launch(executable!);
    watching = await openPage(browser, served.url);
    page = watching.page;
    await page.locator("#run:enabled").waitFor();
  });
  afterAll(async () => {
    await browser?.close();
    await served?.close();
  });

  test("a try-on of given files equals Node's for the same seed, and the page never stops answering", async () => {
    const { person, garment, mask } = await drawnDataset({ seed: 5, width: 96, height: 128, framing }).get(3);
    const folder = scratch();
    for (const [name, image] of Object.entries({ person, garment, mask }))
      writeFileSync(join(folder, `${name}.png`), await encodePng(image));
    await page.locator("#person [data-file]").setInputFiles(join(folder, "person.png"));
    await page.locator("#garment [data-file]").setInputFiles(join(folder, "garment.png"));
    await page.locator("#mask-note", { hasText: "only a guess" }).waitFor();
    await page.locator("#mask-sources summary").click();
    await page.locator("#mask-file").setInputFiles(join(folder, "mask.png"));
    await page.locator("#mask-note", { hasText: "that of mask.png" }).waitFor();
    await set(page, { size: "96x128", steps: "3", guidanceScale: "2", seed: "42" });
    await page.locator('[name="pasteBack"]').uncheck();

    const tasks = await tasksDuring(browser, page, async () => {
      await page.locator("#run").click();
      expect(await runEnded(page)).toBe("");
    });
    const longest = Math.max(...tasks);
    expect(await maskUsed(page)).toEqual([...mask.data]);

    const downloading = page.waitForEvent("download");
    await page.locator("#download").click();
    const download = await downloading;
    const file = join(folder, "result.png");
    await download.saveAs(file);
    expect(download.suggestedFilename()).toBe(`toile_${model}_42_0.png`);
    const text = await readText(file);
    expect(JSON.parse(text["toile"]!)).toMatchObject({ seed: 42, steps: 3, scale: 2, person: "person.png", sample: 0 });

    const device = await requestDevice();
    const pipeline = await TryOnPipeline.fromPretrained(directory(join(root, "weights")), {
      device,
      model,
      dtype: "f32",
    });
    const size = { width: 96, height: 128 };
    const { images } = await pipeline({ person, garment, mask, ...size, steps: 3, guidanceScale: 2, seed: 42 });
    const near = psnr(await readImage(file), images[0]!);
    const adapters = `page: ${await page.locator("#adapter").innerText()}; Node: ${device.facts.name}`;
    process.stdout.write(`the page's try-on equals Node's at ${near.toFixed(1)} dB (${adapters})\n`);
    process.stdout.write(`the longest of ${tasks.length} tasks of its main thread took ${longest.toFixed(1)} ms\n`);
    expect(near).toBeGreaterThanOrEqual(50);
    expect(tasks.length).toBeGreaterThan(10); // or nothing was seen
    expect(longest).toBeLessThan(50);
    await pipeline.dispose();
    device.destroy();
  });

  test("the brush adds and erases, undo takes back, and the run uses what is left", async () => {
    await page.locator("#person [data-thumbs] button").first().click();
    await page.locator("#mask-note", { hasText: "drawing" }).waitFor();
    const canvas = page.locator("[data-mask-canvas]");
    await canvas.scrollIntoViewIfNeeded();
    const box = (await canvas.boundingBox())!;
    const { width, height } = await canvas.evaluate((element) => ({
      width: (element as HTMLCanvasElement).width,
      height: (element as HTMLCanvasElement).height,
    }));
    /** The middle of a pixel of the mask, on the screen. */
    const at = (x: number, y: number): [number, number] => [
      box.x + ((x + 0.5) * box.width) / width,
      box.y + ((y + 0.5) * box.height) / height,
    ];
    const stroke = async (from: [number, number], to: [number, number]) => {
      await page.mouse.move(...at(...from));
      await page.mouse.down();
      await page.mouse.move(...at(...to), { steps: 3 });
      await page.mouse.up();
    };
    const use = (tool: string) => page.locator(`[data-tool="${tool}"]`).click();
    await stroke([10, 500], [60, 500]); // white where there was nothing
    await use("erase");
    await stroke([192, 200], [192, 240]); // black where the garment was
    await use("add");
    await stroke([370, 10], [370, 60]);
    await use("undo"); // of the last
    await canvas.focus(); // and the same by keys alone
    await page.keyboard.press("e");
    for (let i = 0; i < 4; i++) await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("Space");
    await page.keyboard.press("Control+z");
    await set(page, { size: "96x128", steps: "1" });
    await page.locator("#run").click();
    expect(await runEnded(page)).toBe("");
    const used = await maskUsed(page);
    const pixel = (x: number, y: number) => used[y * width + x];
    expect({ added: pixel(35, 500), erased: pixel(192, 220), undone: pixel(370, 30) }).toEqual({
      added: 255,
      erased: 0,
      undone: 0,
    });
    const before = used.filter(Boolean).length;
    await use("grow");
    const note = page.locator("#mask-note");
    await expect.poll(() => note.innerText()).not.toContain(`${Math.round((100 * before) / used.length)} %`);
    await use("undo");
    await expect.poll(() => note.innerText()).toContain(`${Math.round((100 * before) / used.length)} %`);
    const white = () =>
      canvas.evaluate((element) => {
        const { width, height } = element as HTMLCanvasElement;
        const { data } = (element as HTMLCanvasElement).getContext("2d")!.getImageData(0, 0, width, height);
        return data.filter((value, i) => i % 4 === 3 && value > 0).length;
      });
    const sizes = [await white()];
    for (let i = 0; i < 2; i++) {
      await use("grow");
      await expect.poll(white).toBeGreaterThan(sizes.at(-1)!);
      sizes.push(await white());
    }
    for (let i = 0; i < 2; i++) await use("undo");
    await page.evaluate(() => {
      for (let i = 0; i < 2; i++) document.querySelector<HTMLButtonElement>('[data-tool="grow"]')!.click();
    });
    await expect.poll(white).toBe(sizes[2]); // quick clicks count as slow ones do
  });

  test("of two pictures the one that was chosen last is taken, however long the other takes to read", async () => {
    const paint = (width: number, height: number) => ({ width, height, data: new Uint8Array(width * height * 3) });
    const files = [
      { name: "slow.png", mimeType: "image/png", buffer: Buffer.from(await encodePng(paint(3000, 2250))) },
      { name: "quick.png", mimeType: "image/png", buffer: Buffer.from(await encodePng(paint(48, 64))) },
    ];
    for (const file of files) await page.locator("#person [data-file]").setInputFiles(file);
    const wide = () => page.locator("[data-mask-canvas]").evaluate((canvas) => (canvas as HTMLCanvasElement).width);
    await expect.poll(wide).toBe(48);
    await page.waitForTimeout(1500);
    expect(await wide()).toBe(48);
    const mask = { width: 64, height: 48, data: new Uint8Array(64 * 48) };
    const buffer = Buffer.from(await encodePng(mask));
    await page.locator("#mask-file").setInputFiles({ name: "wide.png", mimeType: "image/png", buffer });
    await page.locator("#person [data-error]", { hasText: "The mask is 64 × 48, the person 48 × 64 pixels" }).waitFor();
    await page.locator("#person [data-thumbs] button").first().click();
    await page.locator("#mask-note", { hasText: "drawing" }).waitFor();
  });

  test("nobody is dressed by the mask of somebody else, and pictures that are replaced are forgotten", async () => {
    const state = await page.evaluate(async () => {
      const run = document.querySelector<HTMLButtonElement>("#run")!;
      const before = run.disabled;
      document.querySelector<HTMLElement>("#person [data-thumbs] button:nth-child(2)")!.click();
      for (let i = 0; i < 20; i++) await Promise.resolve(); // no answer of the worker's comes within these
      return { before, after: run.disabled, note: document.querySelector("#mask-note")!.textContent };
    });
    expect(state).toEqual({ before: false, after: true, note: "" });
    await page.locator("#run:enabled").waitFor();
    const forgotten = () => page.evaluate(() => asked.filter(({ call }) => call === "forget").length);
    const one = (data: number) => encodePng({ width: 48, height: 64, data: new Uint8Array(48 * 64 * 3).fill(data) });
    const choose = async (name: string, data: number) => {
      await page.locator("#garment [data-file]").setInputFiles({ name, mimeType: "image/png", buffer: Buffer.from(await one(data)) }); // prettier-ignore
    };
    await page.locator("#garment [data-thumbs] button").first().click();
    const before = await forgotten();
    await choose("a.png", 1);
    await page.locator("#garment.filled [data-thumbs]:not(:has([aria-pressed=true]))").waitFor();
    expect(await forgotten()).toBe(before); // an example stays
    await page.locator("#garment [data-thumbs] button").first().click();
    await expect.poll(forgotten).toBe(before + 1);
    await page.locator("#person [data-thumbs] button").first().click();
    await page.locator("#mask-note", { hasText: "drawing" }).waitFor();
  });

  test("two fingers paint one stroke", async () => {
    await page.locator('[data-tool="add"]').click();
    const canvas = page.locator("[data-mask-canvas]");
    await canvas.scrollIntoViewIfNeeded();
    const box = (await canvas.boundingBox())!;
    const at = (x: number, y: number, id: number) => ({ x: box.x + x * box.width, y: box.y + y * box.height, id });
    const session = await page.context().newCDPSession(page);
    const touch = (type: "touchStart" | "touchMove" | "touchEnd", ...touchPoints: ReturnType<typeof at>[]) =>
      session.send("Input.dispatchTouchEvent", { type, touchPoints });
    const opacity = (x: number, y: number) =>
      canvas.evaluate(
        (element, [x, y]) => {
          const { width, height } = element as HTMLCanvasElement;
          const context = (element as HTMLCanvasElement).getContext("2d")!;
          return context.getImageData(Math.floor(x * width), Math.floor(y * height), 1, 1).data[3]!;
        },
        [x, y] as const,
      );
    const [painted, other] = [() => opacity(0.05, 0.85), () => opacity(0.95, 0.8)];
    expect([await painted(), await other()]).toEqual([0, 0]);
    await touch("touchStart", at(0.05, 0.97, 1));
    await touch("touchStart", at(0.05, 0.97, 1), at(0.95, 0.97, 2));
    for (const y of [0.9, 0.85, 0.8]) await touch("touchMove", at(0.05, y, 1), at(0.95, y, 2)); // farther than a tap's slop
    await touch("touchEnd");
    await expect.poll(painted).toBeGreaterThan(0);
    expect(await other()).toBe(0); // nor is there a bar between them
    await page.locator('[data-tool="undo"]').click();
    expect(await painted()).toBe(0);
  });

  test("a label map and key points make the mask that the library makes of them", async () => {
    const { labels, pose } = await drawnDataset({ seed: 8, width: 384, height: 512, framing }).get(0);
    const keyPoints = JSON.stringify({ pose_keypoints_2d: pose!.map(({ x, y }) => [x, y]) });
    await page.locator("#labels-file").setInputFiles([
      { name: "labels.png", mimeType: "image/png", buffer: Buffer.from(await encodePng(labels!)) },
      { name: "points.json", mimeType: "application/json", buffer: Buffer.from(keyPoints) },
    ]);
    await page.locator("#mask-note", { hasText: "made from labels.png" }).waitFor();
    const painted = await page.locator("[data-mask-canvas]").evaluate((element) => {
      const canvas = element as HTMLCanvasElement;
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      return Array.from({ length: data.length / 4 }, (_, i) => (data[4 * i + 3] === 0 ? 0 : 255));
    });
    expect(painted).toEqual([...agnosticMask(labels!, pose, { model, category: "upperbody" }).data]);
  });

  test("cancel ends a run within a step, and the page runs again", async () => {
    await set(page, { size: "96x128", steps: "90" });
    await page.locator("#run").click();
    await page.locator("#phase", { hasText: "step" }).waitFor();
    const stepOf = (text: string) => Number(/step (\d+)/.exec(text)?.[1]);
    const step = await page.evaluate(() => {
      const cancel = document.querySelector<HTMLButtonElement>("#cancel")!;
      cancel.click();
      return document.querySelector("#phase")!.textContent!;
    });
    expect(await runEnded(page)).toBe("Stopped.");
    const last = await page.locator("#phase").evaluate(({ textContent }) => textContent!);
    expect(stepOf(last) - stepOf(step)).toBeLessThanOrEqual(1);
    await set(page, { steps: "90" });
    await page.locator("#run").focus();
    await page.keyboard.press("Enter"); // and by keys, which stay where they are needed
    expect(await page.locator("#cancel").evaluate((element) => element === document.activeElement)).toBe(true);
    await page.keyboard.press("Enter");
    expect(await runEnded(page)).toBe("Stopped.");
    expect(await page.locator("#run").evaluate((element) => element === document.activeElement)).toBe(true);
    await set(page, { steps: "1" });
    await page.locator("#run").click();
    expect(await runEnded(page)).toBe("");
    await page.screenshot({ path: artefact("page.png"), fullPage: true });
  });

  test("a checkpoint's folder of one's own is used, one without a try-on refused", async () => {
    const [folder, error] = [page.locator("[data-folder]"), page.locator("#own-checkpoint [data-error]")];
    await page.locator("#own-checkpoint summary").click();
    const shipped = await page.locator("#checkpoint").innerText();
    await folder.setInputFiles(join(root, "examples/images"));
    await error.filter({ hasText: "images: no ootd/ootd_hd" }).waitFor();
    expect(await page.locator("#checkpoint").innerText()).toBe(shipped);
    await folder.setInputFiles(join(root, "weights"));
    await page.locator("#checkpoint", { hasText: /^weights$/ }).waitFor();
    expect(await error.innerText()).toBe("");
    await set(page, { size: "96x128", steps: "1" });
    await page.locator("#run").click();
    expect(await runEnded(page)).toBe("");
    await page.locator("#shipped").click();
    await page.locator("#checkpoint", { hasText: shipped }).waitFor();
  });

  test("a broken picture is one line that names it, and what was there stays", async () => {
    const png = readFileSync(join(root, "examples/images/striped-shirt.png"));
    for (const [name, buffer] of Object.entries({ "cut.png": png.subarray(0, 3000), "empty.png": Buffer.alloc(0) })) {
      await page.locator("#garment [data-file]").setInputFiles({ name, mimeType: "image/png", buffer });
      const error = page.locator("#garment [data-error]", { hasText: name });
      await error.waitFor();
      expect(await error.innerText()).not.toContain("\n");
    }
    expect(await page.locator("#run").isEnabled()).toBe(true);
  });

  test("in a narrow window nothing is cut off", async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    const over = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return scrollWidth - clientWidth;
    });
    expect(over).toBe(0);
    await page.screenshot({ path: artefact("narrow.png"), fullPage: true });
  });

  test("nothing was asked of any other server, and nothing failed", () => {
    expect(watching.outside).toEqual([]);
    expect(watching.errors).toEqual([]);
  });

  test("without WebGPU it says so, and what to do", async () => {
    const without = await launch(executable!, false);
    try {
      const { page: poor } = await openPage(without, served.url);
      await poor.locator("#unsupported").waitFor();
      expect(await poor.locator("#unsupported").innerText()).toMatch(/no WebGPU[\s\S]*Chrome or Edge/);
      expect(await poor.locator("#unsupported-reason").innerText()).toMatch(/adapter|navigator\.gpu/);
      expect(await poor.locator("#app").isVisible()).toBe(false);
      await poor.screenshot({ path: artefact("without-webgpu.png") });
    } finally {
      await without.close();
    }
  });
});
