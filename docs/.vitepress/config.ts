import { readFileSync, readdirSync } from "node:fs";
import { defineConfig, type DefaultTheme } from "vitepress";

const api = JSON.parse(
  readFileSync(new URL("../api/typedoc-sidebar.json", import.meta.url), "utf8"),
) as DefaultTheme.SidebarItem[];
const ENTRIES: Readonly<Record<string, string>> = { index: "toile", node: "toile/node" };

/** Every guide under its own title: these in this order, then the others. */
const ORDER = ["first-try-on", "checkpoints", "browser", "fusion", "kernels", "training"];
const folder = new URL("../guide/", import.meta.url);
const place = (name: string) => (ORDER.indexOf(name) + ORDER.length + 1) % (ORDER.length + 1);
const guides = readdirSync(folder)
  .map((file) => file.replace(/\.md$/, ""))
  .sort((a, b) => place(a) - place(b))
  .map((name) => ({
    text: /^# (.+)$/m.exec(readFileSync(new URL(`${name}.md`, folder), "utf8"))![1]!,
    link: `/guide/${name}`,
  }));

export default defineConfig({
  title: "toile",
  description: "Diffusion models and virtual try-on on WebGPU, from TypeScript",
  srcExclude: ["node_modules/**", "README.md"],
  cleanUrls: true,
  themeConfig: {
    nav: [
      { text: "Guides", link: guides[0]!.link, activeMatch: "/guide/" },
      { text: "Reference", link: "/api/", activeMatch: "/api/" },
    ],
    sidebar: [
      { text: "Guides", items: guides },
      { text: "Reference", items: api.map((item) => ({ ...item, text: ENTRIES[item.text!] ?? item.text! })) },
    ],
    search: { provider: "local" },
    outline: [2, 3],
  },
});
