/** What to install on this kind of system when Dawn finds no adapter: one sentence. */
export function adapterAdvice(platform: NodeJS.Platform = process.platform): string {
  switch (platform) {
    case "darwin":
      return "update macOS, and run in a session that can reach the GPU (WebGPU needs Metal)";
    case "win32":
      return "install the current driver of the graphics card (WebGPU needs Direct3D 12)";
    default:
      return (
        "install the GPU's Vulkan driver; without a GPU install Mesa's software driver 23.2 or newer: " +
        "`apt install mesa-vulkan-drivers` (Debian 12: `-t bookworm-backports`), `npm run setup` does it in a checkout"
      );
  }
}
