// Evaluates to the texts on the page whose contrast with their ground is below 4.5 (WCAG 2.2, AA), five at most.
(() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const read = (color) => {
    paint.fillStyle = color;
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const luminance = (color) => {
    const [r, g, b] = read(color).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor;
      if (!/, 0\)$|transparent/.test(color)) return color;
    }
    return "white";
  };
  const hasText = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  return [...document.querySelectorAll("main *, .top *")]
    .filter((node) => node.checkVisibility() && !node.closest("svg, select") && hasText(node))
    .map((node) => {
      const [dark, light] = [luminance(getComputedStyle(node).color), luminance(ground(node))].sort((a, b) => a - b);
      return [(light + 0.05) / (dark + 0.05), `${node.className} ${node.textContent.trim().slice(0, 30)}`];
    })
    .filter(([ratio]) => ratio < 4.5)
    .slice(0, 5);
})();
