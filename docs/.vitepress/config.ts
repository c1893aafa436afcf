import { readFileSync } from "node:fs";
import { defineConfig, type DefaultTheme } from "vitepress";

const api = JSON.parse(
  readFileSync(new URL("../api/typedoc-sidebar.json", import.meta.url), "utf8"),
) as DefaultTheme.SidebarItem[];
const ENTRIES: Readonly<Record<string, string>> = { index: "toile", node: "toile/node" };

const guides = [
  { text: "A first try-on", link: "/guide/first-try-on" },
  { text: "In a browser", link: "/guide/browser" },
  { text: "Writing a kernel", link: "/guide/kernels" },
  { text: "Training", link: "/guide/training" },
];

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
