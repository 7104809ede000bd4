"use strict";
(() => {
  const data = JSON.parse(document.getElementById("viewer-data").textContent);
  const canvas = document.getElementById("viewer-canvas");
  const box = canvas.parentElement;
  const tip = document.getElementById("viewer-tip");
  const legend = document.getElementById("viewer-legend");
  const buttons = document.getElementById("viewer-layers");
  const pen = canvas.getContext("2d");
  const sites = data.sites, cells = data.cells;
  const cellOf = new Map(cells.site.map((site, n) => [site, n]));
  const scalarAt = data.scalars.map(
    (map) => new Map(map.site.map((site, n) => [site, map.value[n]])));
  const chargeColors = {
    "neutral": "#000000", "head-to-head": "#D55E00",
    "tail-to-tail": "#0072B2", "undetermined": "#7F7F7F"};
  const NEUTRAL_RGB = "#8f8f8f";

  const image = new Image();
  let view = null, layer = null, hovered = -1, pending = false;

  function directionColor(degrees) {
    const n = data.directions.length;
    return data.directions[((Math.round(degrees * n / 360) % n) + n) % n];
  }

  function toScreen(row, col) {
    return [(col + 0.5 - view.col) * view.zoom, (row + 0.5 - view.row) * view.zoom];
  }

  function toImage(x, y) {
    return [y / view.zoom + view.row - 0.5, x / view.zoom + view.col - 0.5];
  }

  function reset() {
    const zoom = Math.min(box.clientWidth / data.width, box.clientHeight / data.height);
    view = {
      zoom: zoom, least: zoom,
      col: (data.width - box.clientWidth / zoom) / 2,
      row: (data.height - box.clientHeight / zoom) / 2};
    request();
  }

  function zoomBy(factor, x, y) {
    const [row, col] = toImage(x, y);
    view.zoom = Math.min(Math.max(view.zoom * factor, view.least / 2), 60);
    view.col = col + 0.5 - x / view.zoom;
    view.row = row + 0.5 - y / view.zoom;
    request();
  }

  function request() {
    if (!pending) {
      pending = true;
      requestAnimationFrame(() => { pending = false; draw(); });
    }
  }

  function isVisible(x, y, margin) {
    return x > -margin && y > -margin &&
      x < box.clientWidth + margin && y < box.clientHeight + margin;
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(box.clientWidth * ratio);
    canvas.height = Math.round(box.clientHeight * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = "#e8e8e8";
    pen.fillRect(0, 0, box.clientWidth, box.clientHeight);
    const [x, y] = toScreen(-0.5, -0.5);
    pen.imageSmoothingEnabled = view.zoom < 4;
    pen.globalAlpha = layer.fade;
    pen.drawImage(image, x, y, data.width * view.zoom, data.height * view.zoom);
    pen.globalAlpha = 1;
    layer.draw();
    if (hovered >= 0) {
      const [hx, hy] = toScreen(sites.row[hovered], sites.col[hovered]);
      ring(hx, hy, 0.35 * data.spacing * view.zoom + 3, "#ffffff", 4);
      ring(hx, hy, 0.35 * data.spacing * view.zoom + 3, "#000000", 1.5);
    }
    drawScaleBar();
  }

  function ring(x, y, radius, color, width) {
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.strokeStyle = color;
    pen.lineWidth = width;
    pen.stroke();
  }

  function disc(x, y, radius, color) {
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fillStyle = color;
    pen.fill();
  }

  // Cells overlap a little, so that no gaps remain; drawn together, they are
  // equally transparent everywhere.
  const sheet = document.createElement("canvas");
  function drawCells(rows, colorOf, opacity) {
    sheet.width = canvas.width;
    sheet.height = canvas.height;
    const ratio = window.devicePixelRatio || 1;
    const brush = sheet.getContext("2d");
    brush.setTransform(ratio, 0, 0, ratio, 0, 0);
    const scale = 1.06 * view.zoom / 2, reach = 2 * data.cell * view.zoom;
    rows.forEach((site, n) => {
      const [x, y] = toScreen(sites.row[site], sites.col[site]);
      if (!isVisible(x, y, reach)) return;
      const [ar, ac, br, bc] = data.shapes[sites.shape[site]].map((v) => scale * v);
      brush.fillStyle = colorOf(n);
      brush.beginPath();
      brush.moveTo(x - ac - bc, y - ar - br);
      brush.lineTo(x + ac - bc, y + ar - br);
      brush.lineTo(x + ac + bc, y + ar + br);
      brush.lineTo(x - ac + bc, y - ar + br);
      brush.fill();
    });
    // Cells at the border of the image end there.
    const [left, top] = toScreen(-0.5, -0.5);
    pen.save();
    pen.beginPath();
    pen.rect(left, top, data.width * view.zoom, data.height * view.zoom);
    pen.clip();
    pen.globalAlpha = opacity;
    pen.drawImage(sheet, 0, 0, box.clientWidth, box.clientHeight);
    pen.restore();
  }

  function drawScaleBar() {
    const unit = data.pixelSize ? "nm" : "px";
    const size = data.pixelSize || 1;
    const longest = 0.25 * box.clientWidth / view.zoom * size;
    const power = Math.pow(10, Math.floor(Math.log10(longest)));
    const length = [5, 2, 1].map((n) => n * power).find((n) => n <= longest) || power;
    const width = length / size * view.zoom;
    pen.fillStyle = "rgba(0,0,0,0.65)";
    pen.fillRect(10, box.clientHeight - 44, width + 20, 34);
    pen.fillStyle = "#ffffff";
    pen.fillRect(20, box.clientHeight - 20, width, 4);
    pen.font = "13px sans-serif";
    pen.textAlign = "center";
    pen.fillText(`${+length.toPrecision(2)} ${unit}`, 20 + width / 2,
      box.clientHeight - 26);
  }

  function drawColumns() {
    const radius = Math.max(1.2, 0.13 * data.spacing * view.zoom);
    for (let n = 0; n < sites.row.length; n++) {
      const [x, y] = toScreen(sites.row[n], sites.col[n]);
      if (!isVisible(x, y, 20)) continue;
      const color = sublatticeColors[sites.sublattice[n] % sublatticeColors.length];
      disc(x, y, radius, color);
      if (data.flags[sites.flag[n]]) ring(x, y, radius + 2.5, "#ff2d2d", 1.5);
    }
    pen.strokeStyle = "#ff2d2d";
    pen.lineWidth = 2;
    for (const [row, col] of data.misses) {
      const [x, y] = toScreen(row, col);
      pen.beginPath();
      pen.moveTo(x - 5, y - 5); pen.lineTo(x + 5, y + 5);
      pen.moveTo(x - 5, y + 5); pen.lineTo(x + 5, y - 5);
      pen.stroke();
    }
  }
  const sublatticeColors = ["#E69F00", "#56B4E9", "#009E73", "#F0E442"];

  const lengths = cells.dRow
    .map((d, n) => d === null ? 0 : Math.hypot(d, cells.dCol[n]))
    .filter((d) => d > 0).sort((a, b) => a - b);
  const long = lengths.length ? lengths[Math.floor(0.95 * (lengths.length - 1))] : 1;

  function drawArrows() {
    const scale = 0.9 * data.cell * view.zoom / long;
    for (let n = 0; n < cells.site.length; n++) {
      if (cells.dRow[n] === null) continue;
      const site = cells.site[n];
      const [x, y] = toScreen(sites.row[site], sites.col[site]);
      if (!isVisible(x, y, 40)) continue;
      arrow(x, y, scale * cells.dCol[n], scale * cells.dRow[n]);
    }
  }

  function arrow(x, y, dx, dy) {
    const length = Math.hypot(dx, dy);
    const color = directionColor(Math.atan2(dy, dx) * 180 / Math.PI);
    if (length < 2) { disc(x, y, 1, color); return; }
    const ux = dx / length, uy = dy / length;
    const width = Math.max(1, 0.075 * data.cell * view.zoom);
    const head = Math.min(length, 3.2 * width);
    const x0 = x - dx / 2, y0 = y - dy / 2, x1 = x + dx / 2, y1 = y + dy / 2;
    const xb = x1 - head * ux, yb = y1 - head * uy;
    pen.strokeStyle = pen.fillStyle = color;
    pen.lineWidth = width;
    pen.beginPath(); pen.moveTo(x0, y0); pen.lineTo(xb, yb); pen.stroke();
    pen.beginPath();
    pen.moveTo(x1, y1);
    pen.lineTo(xb - 0.55 * head * uy, yb + 0.55 * head * ux);
    pen.lineTo(xb + 0.55 * head * uy, yb - 0.55 * head * ux);
    pen.closePath();
    pen.fill();
  }

  function drawDomains() {
    drawCells(cells.site, (n) => cells.polar[n] && cells.angle[n] !== null
      ? directionColor(cells.angle[n]) : NEUTRAL_RGB, data.registered ? 0.85 : 0.3);
    for (const wall of data.walls) {
      pen.beginPath();
      wall.points.forEach(([row, col], n) => {
        const [x, y] = toScreen(row, col);
        if (n) pen.lineTo(x, y); else pen.moveTo(x, y);
      });
      pen.lineJoin = "round";
      pen.strokeStyle = "#ffffff"; pen.lineWidth = 5; pen.setLineDash([]); pen.stroke();
      pen.strokeStyle = chargeColors[wall.charge] || "#7F7F7F";
      pen.lineWidth = 2.5;
      pen.setLineDash(wall.type === "180" ? [] : wall.type === "90" ? [8, 4] : [2, 3]);
      pen.stroke();
      pen.setLineDash([]);
    }
  }

  function drawScalar(map) {
    const n = map.colors.length;
    drawCells(map.site, (k) => {
      const value = map.value[k];
      const share = (value - map.low) / (map.high - map.low || 1);
      return value === null ? NEUTRAL_RGB
        : map.colors[Math.min(n - 1, Math.max(0, Math.floor(share * n)))];
    }, 0.85);
  }

  function wheel() {
    const n = data.directions.length;
    const parts = data.directions.map((color, k) => {
      const [a, b] = [k - 0.5, k + 0.55].map((m) => 2 * Math.PI * m / n);
      const at = (r, t) => `${(r * Math.cos(t)).toFixed(2)} ${(r * Math.sin(t)).toFixed(2)}`;
      return `<path fill="${color}" d="M${at(14, a)} L${at(30, a)} L${at(30, b)} ` +
        `L${at(14, b)} Z"/>`;
    }).join("");
    return `<svg viewBox="-76 -42 152 84" width="190" height="105" role="img" ` +
      `aria-label="Colours of directions">${parts}` +
      `<text x="33" y="4">0°</text><text x="0" y="39" text-anchor="middle">90°</text>` +
      `<text x="-33" y="4" text-anchor="end">±180°</text>` +
      `<text x="0" y="-32" text-anchor="middle">−90°</text></svg>`;
  }

  function bar(map) {
    const stops = map.colors.join(",");
    return `<div class="bar"><span>${map.low}</span><div style="background:` +
      `linear-gradient(90deg,${stops})"></div><span>${map.high}</span></div>`;
  }

  function key(color, text) {
    return `<span class="key"><i style="background:${color}"></i>${text}</span>`;
  }

  const layers = [];
  if (lengths.length) {
    layers.push({name: "Displacements", fade: 0.55, draw: drawArrows, legend:
      wheel() + `<p>Longest arrows: ${(+long.toPrecision(2))} ${cells.unit}</p>`});
  }
  if (cells.angle) {
    const charges = [...new Set(data.walls.map((wall) => wall.charge))];
    layers.unshift({name: "Domains and walls", fade: 0.9, draw: drawDomains, legend:
      wheel() + (data.registered ? "" : "<p>not registered: zero arbitrary</p>") +
      key(NEUTRAL_RGB, "no certain direction") +
      charges.map((charge) => key(chargeColors[charge], `wall, ${charge}`)).join("")});
  }
  layers.push({name: "Columns and flags", fade: 1, draw: drawColumns, legend:
    [...new Set(sites.sublattice)].sort().map((label) => key(
      sublatticeColors[label % 4], `sublattice ${label}${["\u00a0(A)", "\u00a0(B)"][label] || ""}`
    )).join("") + key("#ff2d2d", "ring: flag, cross: column missing")});
  for (const map of data.scalars) {
    layers.push({name: map.name.replace("latent", "Latent "), fade: 0.9,
      draw: () => drawScalar(map), legend: bar(map)});
  }
  layers.push({name: "Image", fade: 1, draw: () => {}, legend: ""});

  function show(chosen) {
    layer = chosen;
    legend.innerHTML = chosen.legend;
    for (const button of buttons.children) {
      button.setAttribute("aria-pressed", String(button.textContent === chosen.name));
    }
    request();
  }
  for (const entry of layers) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = entry.name;
    button.addEventListener("click", () => show(entry));
    buttons.append(button);
  }

  // Sites in squares of the image, so that the nearest one is found at once.
  const side = 2 * data.spacing, grid = new Map();
  const place = (row, col) => `${Math.floor(row / side)},${Math.floor(col / side)}`;
  sites.row.forEach((row, n) => {
    const name = place(row, sites.col[n]);
    if (!grid.has(name)) grid.set(name, []);
    grid.get(name).push(n);
  });

  function siteAt(row, col) {
    let best = -1, least = 0.6 * data.spacing;
    for (let i = -1; i < 2; i++) {
      for (let j = -1; j < 2; j++) {
        for (const n of grid.get(place(row + i * side, col + j * side)) || []) {
          const distance = Math.hypot(sites.row[n] - row, sites.col[n] - col);
          if (distance < least) { least = distance; best = n; }
        }
      }
    }
    return best;
  }

  function minus(value) {
    return String(value).replace("-", "−");
  }

  function describe(n) {
    const label = sites.sublattice[n];
    const lines = [
      `<b>column ${n}</b>, sublattice ${label}${[" (A)", " (B)"][label] || ""}`,
      `row ${sites.row[n].toFixed(1)}, column ${sites.col[n].toFixed(1)} px`];
    const k = cellOf.get(n);
    if (k !== undefined) {
      if (cells.dRow[k] === null) {
        lines.push("displacement not measured");
      } else {
        const length = Math.hypot(cells.dRow[k], cells.dCol[k]);
        const angle = Math.atan2(cells.dRow[k], cells.dCol[k]) * 180 / Math.PI;
        const error = cells.error[k] === null ? "" : ` ± ${cells.error[k]}`;
        const digits = cells.unit === "pm" ? 1 : 2;
        lines.push(`displacement ${length.toFixed(digits)}${error} ${cells.unit} ` +
          `at ${minus(angle.toFixed(0))}°`);
      }
      if (cells.angle) {
        const group = cells.group[k];
        lines.push(group < 0 ? "no certain direction" : data.groups[group].name);
        if (cells.angle[k] !== null) {
          lines.push(`angle of the model ${minus(cells.angle[k])}° ± ` +
            `${Math.max(1, cells.angleError[k])}°`);
        }
        if (cells.domain && cells.domain[k] >= 0) lines.push(`domain ${cells.domain[k]}`);
      }
    }
    data.scalars.forEach((map, m) => {
      const value = scalarAt[m].get(n);
      if (value !== undefined && value !== null) {
        lines.push(`${map.name.replace("latent", "latent ")}: ${minus(value)}`);
      }
    });
    const flag = data.flags[sites.flag[n]];
    if (flag) lines.push(`flags: ${flag.replace(/_/g, " ").replace(/\|/g, ", ")}`);
    return lines.join("<br>");
  }

  function hover(x, y) {
    const found = siteAt(...toImage(x, y));
    if (found !== hovered) { hovered = found; request(); }
    tip.hidden = found < 0;
    if (found < 0) return;
    tip.innerHTML = describe(found);
    const right = x > box.clientWidth - tip.offsetWidth - 24;
    const low = y > box.clientHeight - tip.offsetHeight - 24;
    tip.style.left = `${right ? x - tip.offsetWidth - 14 : x + 14}px`;
    tip.style.top = `${low ? y - tip.offsetHeight - 14 : y + 14}px`;
  }

  function at(event) {
    const rect = canvas.getBoundingClientRect();
    return [event.clientX - rect.left, event.clientY - rect.top];
  }
  let dragged = null;
  canvas.addEventListener("pointerdown", (event) => {
    dragged = at(event);
    try { canvas.setPointerCapture(event.pointerId); } catch (error) { /* synthetic */ }
  });
  canvas.addEventListener("pointerup", () => { dragged = null; });
  canvas.addEventListener("pointerleave", () => {
    tip.hidden = true;
    hovered = -1;
    request();
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    if (dragged) {
      view.col -= (x - dragged[0]) / view.zoom;
      view.row -= (y - dragged[1]) / view.zoom;
      dragged = [x, y];
      tip.hidden = true;
      request();
    } else {
      hover(x, y);
    }
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 500), ...at(event));
  }, {passive: false});
  canvas.addEventListener("dblclick", reset);
  canvas.addEventListener("keydown", (event) => {
    const step = 60 / view.zoom;
    const moves = {
      ArrowLeft: [0, -step], ArrowRight: [0, step],
      ArrowUp: [-step, 0], ArrowDown: [step, 0]};
    const middle = [box.clientWidth / 2, box.clientHeight / 2];
    if (moves[event.key]) {
      view.row += moves[event.key][0];
      view.col += moves[event.key][1];
      request();
    } else if (event.key === "+" || event.key === "=") {
      zoomBy(1.3, ...middle);
    } else if (event.key === "-") {
      zoomBy(1 / 1.3, ...middle);
    } else if (event.key === "0") {
      reset();
    } else {
      return;
    }
    event.preventDefault();
  });
  const middle = () => [box.clientWidth / 2, box.clientHeight / 2];
  document.getElementById("viewer-in").onclick = () => zoomBy(1.4, ...middle());
  document.getElementById("viewer-out").onclick = () => zoomBy(1 / 1.4, ...middle());
  document.getElementById("viewer-reset").onclick = reset;
  window.addEventListener("resize", reset);
  canvas.viewer = {toScreen: toScreen, sites: sites, layers: layers, draw: draw};

  image.onload = () => {
    box.style.aspectRatio = `${data.width} / ${data.height}`;
    layer = layers[0];
    reset();
    show(layers[0]);
    canvas.dataset.ready = "true";
  };
  image.src = data.image;
})();
