// Bar charts as SVG text: one group of bars for each row, lengths on a logarithmic or linear scale.
const COLOURS = ["#0b6e4f", "#7bc8a4", "#c44536", "#e8a598", "#8d6a9f", "#5b7db1", "#d19c1d", "#777777"];
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

/**
 * @param rows [{ name, bars: Map of series → number or undefined }]
 * @param unit what the numbers are
 */
export function barChart({ title, unit, rows, log = true }) {
  const series = [...new Set(rows.flatMap(({ bars }) => [...bars.keys()]))];
  const numbers = rows.flatMap(({ bars }) => [...bars.values()]);
  const [low, high] = [log ? Math.min(...numbers) / 1.5 : 0, Math.max(...numbers)];
  const [left, width, bar, gap] = [250, 560, 11, 12];
  const length = (value) =>
    log ? (width * Math.log(value / low)) / Math.log(high / low) : (width * (value - low)) / (high - low);
  const parts = [`<text x="10" y="22" font-size="15" font-weight="bold">${escaped(title)}</text>`];
  const scale = log ? ", logarithmic scale" : "";
  parts.push(`<text x="10" y="40" fill="#555">${escaped(unit)}${scale}</text>`);
  for (const [i, name] of series.entries()) {
    const [x, y] = [10 + (i % 3) * 290, 60 + Math.floor(i / 3) * 16];
    parts.push(`<rect x="${x}" y="${y - 9}" width="10" height="10" fill="${COLOURS[i % COLOURS.length]}"/>`);
    parts.push(`<text x="${x + 15}" y="${y}">${escaped(name)}</text>`);
  }
  let y = 64 + Math.ceil(series.length / 3) * 16;
  for (const { name, bars } of rows) {
    parts.push(`<text x="${left - 8}" y="${y + (bars.size * bar) / 2 + 4}" text-anchor="end">${escaped(name)}</text>`);
    for (const [label, value] of bars) {
      const colour = COLOURS[series.indexOf(label) % COLOURS.length];
      const long = Math.max(1, length(value)).toFixed(1);
      parts.push(`<rect x="${left}" y="${y}" width="${long}" height="${bar - 1}" fill="${colour}"/>`);
      parts.push(
        `<text x="${left + Number(long) + 4}" y="${y + 9}" font-size="9">${Number(value.toPrecision(3))}</text>`,
      );
      y += bar;
    }
    y += gap;
  }
  const size = `width="880" height="${y}" viewBox="0 0 880 ${y}"`;
  const head = `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="11">`;
  return `${head}\n<rect width="880" height="${y}" fill="white"/>\n${parts.join("\n")}\n</svg>\n`;
}
