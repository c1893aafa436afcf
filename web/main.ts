import type { GrayImage } from "toile";
import { Client, isAbort } from "./client.ts";
import { Compare } from "./compare.ts";
import { find, messageOf, paint, save, shape } from "./dom.ts";
import { guessMask, type Mask } from "./mask.ts";
import { MaskEditor } from "./mask_editor.ts";
import { FolderInput } from "./folder_input.ts";
import { fileName, parametersOf } from "./parameters.ts";
import { PictureInput, thumbnails } from "./picture_input.ts";
import { ProgressView } from "./progress.ts";
import type {
  Checkpoint,
  ChosenFolder,
  Example,
  MaskSource,
  MemoryReport,
  Shown,
  Started,
  TryOnReply,
} from "./protocol.ts";
import { SettingsForm, type Settings } from "./settings.ts";

/** How many drawn people and garments are offered. */
const EXAMPLES = 4;

const client = new Client();
const compare = new Compare();
const progress = new ProgressView();
const settings = new SettingsForm((changed) => void onSetting(changed));
const editor = new MaskEditor({
  grow: (mask, pixels) => client.ask("growMask", { mask, pixels }),
  onChange: (mask) => showMask(mask),
});
const people = new PictureInput("#person", (file) => void usePerson(client.ask("picture", file)));
const checkpoints = new FolderInput("#own-checkpoint", (folder) => useCheckpoint(folder));
const garments = new PictureInput("#garment", (file) => void useGarment(client.ask("picture", file)));

/** What has been chosen, and what came of it. */
const state: {
  person?: Shown;
  garment?: Shown;
  checkpoint?: Checkpoint;
  examples: readonly Example[];
  running?: AbortController;
  result?: { readonly reply: TryOnReply; readonly settings: Settings; readonly person: Shown; readonly garment: Shown };
  sample: number;
  maskNote: string;
  /** Whether the mask is still the page's own guess. */
  isGuess: boolean;
  /** How often a person and a garment were chosen: the last choice wins, however long it takes to read. */
  choices: { person: number; garment: number };
} = { examples: [], sample: 0, maskNote: "", isGuess: false, choices: { person: 0, garment: 0 } };

const runButton = find<HTMLButtonElement>("#run");

async function begin(): Promise<void> {
  try {
    if (!("gpu" in navigator)) throw Object.assign(new Error("navigator.gpu is missing"), { name: "DeviceError" });
    const started = await client.ask("start", { weights: new URL("weights/", document.baseURI).href });
    showMachine(started);
    state.checkpoint = started;
    settings.offer(started);
    showCheckpoint();
    await offerExamples();
  } catch (error) {
    find("#adapter").textContent = "none";
    if (!(error instanceof Error) || error.name !== "DeviceError") return alertRun(error);
    find("#unsupported-reason").textContent = error.message;
    find("#unsupported").hidden = false;
    find("#app").hidden = find("#machine").hidden = true;
  }
}

function showMachine(started: Started): void {
  find("#adapter").textContent = started.adapter;
  if (started.software)
    find("#result-note").textContent = "There is no graphics card here: choose small pictures and few steps.";
}

/** The name of what is used, and whether anybody taught the model that is chosen. */
function showCheckpoint(): void {
  const { checkpoint, trained } = state.checkpoint!;
  const { model } = settings;
  const isTrained = trained.includes(model);
  find("#checkpoint").textContent = isTrained ? checkpoint : `${checkpoint}: nobody trained its ${model} model`;
}

const showMemory = ({ now, peak }: MemoryReport): void => {
  const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
  find("#memory").textContent = `${megabytes(now)}, at most ${megabytes(peak)}`;
};

/** Draws people and garments of the category; the first ones are taken where nothing else was chosen. */
async function offerExamples(): Promise<void> {
  const { model, category } = settings;
  const drawn: Example[] = [];
  for (let index = 0; index < EXAMPLES; index++) drawn.push(await client.ask("draw", { model, category, index }));
  if (settings.model !== model || settings.category !== category) return; // chosen anew meanwhile
  const before = state.examples;
  const isExample = (shown: Shown | undefined) =>
    before.some(({ person, garment }) => shown === person || shown === garment);
  state.examples = drawn;
  people.showExamples(
    drawn.map(({ person }) => person),
    "Drawn person",
    (shown) => void usePerson(shown),
  );
  garments.showExamples(
    drawn.map(({ garment }) => garment),
    "Drawn garment",
    (shown) => void useGarment(shown),
  );
  if (!state.garment || isExample(state.garment)) await useGarment(drawn[0]!.garment);
  if (!state.person || isExample(state.person)) await usePerson(drawn[0]!.person);
  await client.ask(
    "forget",
    before.flatMap(({ person, garment }) => [person.id, garment.id]),
  );
}

/** Another checkpoint, or the page's own again. @throws while a try-on runs, or when the folder holds none */
async function useCheckpoint(folder: ChosenFolder | "shipped"): Promise<void> {
  if (state.running) throw new Error("A try-on is running: cancel it first.");
  const taken = await client.ask("use", folder);
  find("#shipped").hidden = folder === "shipped";
  const before = settings.model;
  state.checkpoint = taken;
  settings.offerCheckpoint(taken);
  showCheckpoint();
  if (settings.model !== before) await onSetting("model");
}

async function usePerson(chosen: Shown | Promise<Shown>): Promise<void> {
  const choice = ++state.choices.person;
  try {
    const shown = await chosen;
    if (choice !== state.choices.person) return release(shown);
    const before = state.person;
    state.person = shown;
    release(before);
    editor.clear(shown.bitmap); // nobody is dressed by the mask of somebody else
    find("#mask-note").textContent = "";
    allowRun();
    people.taken(shown);
    find("#mask-sources").hidden = false;
    await firstMask(shown);
  } catch (error) {
    if (choice === state.choices.person) people.error = messageOf(error);
  }
  allowRun();
}

async function useGarment(chosen: Shown | Promise<Shown>): Promise<void> {
  const choice = ++state.choices.garment;
  try {
    const shown = await chosen;
    if (choice !== state.choices.garment) return release(shown);
    const before = state.garment;
    state.garment = shown;
    release(before);
    garments.taken(shown);
    const stage = find("#garment .stage");
    shape(stage, shown);
    paint(find<HTMLCanvasElement>("canvas", stage), shown.bitmap, shown.bitmap.width, shown.bitmap.height);
    stage.hidden = false;
  } catch (error) {
    if (choice === state.choices.garment) garments.error = messageOf(error);
  }
  allowRun();
}

/** Lets the worker forget a picture that nothing will be made of any more; who shows it has its bitmap. */
function release(shown: Shown | undefined): void {
  const examples = state.examples.flatMap(({ person, garment }) => [person, garment]);
  if (shown && ![state.person, state.garment, ...examples].includes(shown)) void client.ask("forget", [shown.id]);
}

/** A drawn person's own mask; for other pictures a box where garments usually are. */
async function firstMask(person: Shown): Promise<void> {
  const isDrawn = state.examples.some((example) => example.person === person);
  if (isDrawn) return useMask({ drawn: person.id }, "made from the drawing's own parts");
  const { width, height } = MaskEditor.sizeFor(person.width, person.height);
  state.maskNote = "only a guess: paint over the old garment, and where the new one may go";
  state.isGuess = true;
  editor.open(person.bitmap, guessMask(width, height, settings.category));
}

async function useMask(from: MaskSource, note: string): Promise<void> {
  const { model, category } = settings;
  const person = state.person!;
  const mask = await client.ask("makeMask", { from, model, category });
  openMask(person, mask, note);
}

/** Takes a person's mask, unless somebody else was chosen meanwhile. @throws Error for one of another shape */
function openMask(person: Shown, mask: GrayImage, note: string): void {
  if (state.person !== person) return;
  const [own, wanted] = [mask.width / mask.height, person.width / person.height];
  if (Math.abs(own / wanted - 1) > 0.02)
    throw new Error(
      `The mask is ${mask.width} × ${mask.height}, the person ${person.width} × ${person.height} pixels.`,
    );
  [state.maskNote, state.isGuess] = [note, false];
  editor.open(person.bitmap, mask);
}

function showMask(mask: Mask): void {
  find("#mask-note").textContent = `${Math.round(100 * mask.share)} % may be repainted; the mask is ${state.maskNote}.`;
  allowRun();
}

async function onSetting(changed: string): Promise<void> {
  if (changed !== "category" && changed !== "model") return;
  showCheckpoint();
  if (state.person && state.isGuess && !editor.mask?.canUndo) await usePerson(state.person); // nothing painted is lost
  await offerExamples().catch((error: unknown) => (people.error = messageOf(error)));
}

function allowRun(): void {
  runButton.disabled = !state.person || !state.garment || !editor.mask || state.running !== undefined;
}

/** The mask as a picture that is opaque where the garment is painted. */
function windowOf({ width, height, data }: Mask): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const pixels = new ImageData(width, height);
  for (let i = 0; i < data.length; i++) pixels.data[4 * i + 3] = data[i]!;
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
  return canvas;
}

async function run(): Promise<void> {
  const { person, garment } = state;
  const { mask } = editor;
  if (!person || !garment || !mask || state.running) return;
  const [error, controller] = [find("#run-error"), new AbortController()];
  error.textContent = find("#result-note").textContent = "";
  find("#warnings").replaceChildren();
  try {
    const chosen = settings.read();
    state.running = controller;
    showRunning(true);
    progress.begin(person, windowOf(mask));
    find("#result").scrollIntoView({ block: "nearest" });
    const request = { ...chosen, person: person.id, garment: garment.id, mask: mask.image() };
    const reply = await client.ask("tryOn", request, {
      signal: controller.signal,
      onEvent: (event) => (event.kind === "memory" ? showMemory(event.memory) : progress.hear(event)),
    });
    await client.ask(
      "forget",
      (state.result?.reply.images ?? []).map(({ id }) => id),
    );
    state.result = { reply, settings: chosen, person, garment };
    showResult();
  } catch (reason) {
    error.textContent = isAbort(reason) ? "Stopped." : messageOf(reason);
  } finally {
    delete state.running;
    progress.end();
    showRunning(false);
  }
}

function showRunning(isRunning: boolean): void {
  const cancel = find("#cancel");
  const [leaving, next] = isRunning ? [runButton, cancel] : [cancel, runButton];
  const moves = document.activeElement === leaving; // who works by keys is not thrown out to the page
  cancel.hidden = runButton.disabled = false;
  if (moves) next.focus();
  cancel.hidden = !isRunning;
  find("#result").setAttribute("aria-busy", String(isRunning));
  find("#result-actions").hidden = find("#compare").hidden = isRunning || !state.result;
  find("#result-hint").hidden = isRunning || state.result !== undefined;
  allowRun();
}

function showResult(): void {
  const { reply } = state.result!;
  const samples = find("#samples");
  samples.replaceChildren(
    ...(reply.images.length > 1 ? thumbnails(reply.images, "Sample", (shown) => showSample(shown)) : []),
  );
  const seconds = Object.values(reply.timings).reduce((sum, ms) => sum + ms, 0) / 1000;
  find("#result-note").textContent = `Seed ${reply.seed}, ${reply.dtype}, ${seconds.toFixed(1)} s.`;
  find("#warnings").replaceChildren(
    ...reply.warnings.map((warning) => Object.assign(document.createElement("li"), { textContent: warning })),
  );
  showMemory(reply.memory);
  showSample(reply.images[0]!);
}

function showSample(shown: Shown): void {
  const { reply, person } = state.result!;
  state.sample = reply.images.indexOf(shown);
  for (const button of find("#samples").querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(button.dataset["id"] === String(shown.id)));
  compare.show(person, shown);
}

async function download(): Promise<void> {
  const { reply, settings: made, person, garment } = state.result!;
  const text = parametersOf(made, reply, { person, garment }, state.sample);
  const blob = await client.ask("png", { id: reply.images[state.sample]!.id, text });
  save(fileName(made, reply, state.sample), blob);
}

/** A mask's picture, or a label map with or without key points. */
async function takeMaskFiles(files: FileList | null): Promise<void> {
  const all = [...(files ?? [])];
  const keyPoints = all.find(({ name }) => name.toLowerCase().endsWith(".json"));
  const labels = all.find((file) => file !== keyPoints);
  if (!labels || !state.person) throw new Error("A label map's picture is needed; key points alone make no mask.");
  await useMask({ labels, keyPoints }, `made from ${labels.name}`);
}

async function takeMask(file: File | undefined): Promise<void> {
  const { person } = state;
  if (file && person) openMask(person, await client.ask("mask", file), `that of ${file.name}`);
}

function onFiles(selector: string, take: (files: FileList | null) => Promise<void>): void {
  const input = find<HTMLInputElement>(selector);
  input.addEventListener("change", () => {
    people.error = "";
    take(input.files)
      .catch((error: unknown) => (people.error = messageOf(error)))
      .finally(() => (input.value = ""));
  });
}

onFiles("#mask-file", (files) => takeMask(files?.[0]));
onFiles("#labels-file", takeMaskFiles);
find("#settings").addEventListener("submit", (event) => {
  event.preventDefault();
  void run();
});
find("#cancel").addEventListener("click", () => state.running?.abort());
find("#shipped").addEventListener("click", () => {
  useCheckpoint("shipped").catch((error: unknown) => (checkpoints.error = messageOf(error)));
});
find("#download").addEventListener("click", () => void download().catch((error: unknown) => alertRun(error)));
for (const type of ["dragover", "drop"] as const) window.addEventListener(type, (event) => event.preventDefault()); // a picture dropped beside a card must not replace the page

function alertRun(error: unknown): void {
  find("#run-error").textContent = messageOf(error);
}

void begin();
