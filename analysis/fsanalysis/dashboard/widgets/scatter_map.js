const loaded = {};

function script(source) {
  loaded[source] ??= new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = source;
    element.onload = resolve;
    element.onerror = () => reject(new Error(`${source} cannot be loaded`));
    document.head.appendChild(element);
  });
  return loaded[source];
}

async function library(prefix) {
  const folder = `${prefix}/vendored`;
  await script(`${folder}/regl.min.js`);
  globalThis.createPubSub ??= (await import(new URL(`${folder}/pub-sub-es.js`, location.href))).createPubSub;
  await script(`${folder}/regl-scatterplot.min.js`);
  return globalThis.createScatterplot.default;
}

const MANY = 200_000;

class FaceMap {
  constructor(parent) {
    this.root = document.createElement("div");
    this.root.className = "fs-map";
    this.canvas = document.createElement("canvas");
    this.tools = document.createElement("div");
    this.tools.className = "fs-tools";
    this.legend = document.createElement("div");
    this.legend.className = "fs-legend";
    this.said = document.createElement("div");
    this.said.className = "fs-said";
    this.said.setAttribute("role", "status");
    this.thumb = document.createElement("div");
    this.thumb.className = "fs-thumb";
    this.thumb.append(document.createElement("img"), document.createElement("div"));
    this.root.append(this.canvas, this.tools, this.legend, this.said, this.thumb);
    parent.appendChild(this.root);
    this.move = this.tool("Move", () => this.mode("panZoom"));
    this.lasso = this.tool("Lasso", () => this.mode("lasso"));
    this.tool("Whole map", () => this.plot?.zoomToOrigin({ transition: true }));
    this.resized = new ResizeObserver(() => this.fit());
    this.resized.observe(this.root);
  }

  tool(name, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.onclick = act;
    this.tools.appendChild(button);
    return button;
  }

  mode(mode) {
    this.plot?.set({ mouseMode: mode });
    this.move.setAttribute("aria-pressed", String(mode === "panZoom"));
    this.lasso.setAttribute("aria-pressed", String(mode === "lasso"));
  }

  fit() {
    const { width, height } = this.root.getBoundingClientRect();
    if (this.plot && width > 0 && height > 0) this.plot.set({ width, height });
  }

  async show(data, tell) {
    this.tell = tell;
    this.data = data;
    this.root.style.height = `${data.height}px`;
    if (this.key === data.key) return;
    this.key = data.key;
    this.say("loading…");
    try {
      const [create, points] = await Promise.all([library(data.prefix), this.fetch(data)]);
      if (this.key !== data.key) return;
      this.points = points;
      const many = points.rows.length > MANY;
      if (this.plot && this.many !== many) {
        this.plot.destroy();
        this.plot = undefined;
        const canvas = document.createElement("canvas");
        this.canvas.replaceWith(canvas);
        this.canvas = canvas;
      }
      if (!this.plot) this.start(create, many);
      await this.draw();
    } catch (error) {
      this.key = undefined;
      this.say(`The map cannot be drawn: ${error.message}. It needs WebGL; the other pages do without.`);
    }
  }

  async fetch(data) {
    const answer = await fetch(`${data.prefix}/points/${data.key}.bin`);
    if (!answer.ok) throw new Error(await answer.text());
    const bytes = await answer.arrayBuffer();
    const count = new Uint32Array(bytes, 0, 1)[0];
    const at = (number) => 4 + 4 * count * number;
    return {
      rows: new Uint32Array(bytes, at(0), count),
      x: new Float32Array(bytes, at(1), count),
      y: new Float32Array(bytes, at(2), count),
      values: new Float32Array(bytes, at(3), count),
    };
  }

  start(create, many) {
    const { width, height } = this.root.getBoundingClientRect();
    this.many = many;
    this.plot = create({
      canvas: this.canvas,
      width,
      height,
      performanceMode: many,
      backgroundColor: "#ffffff",
      pointColorActive: "#000000",
      pointColorHover: "#000000",
      lassoColor: "#d55e00",
      opacity: many ? 1 : 0.75,
      lassoOnLongPress: false,
      deselectOnEscape: true,
    });
    this.mode("panZoom");
    this.plot.subscribe("pointover", (index) => this.over(index));
    this.plot.subscribe("pointout", () => this.out());
    this.plot.subscribe("view", () => this.out());
    this.plot.subscribe("select", ({ points }) => {
      this.selected = points.length;
      if (points.length === 1 && !this.drawing) this.tell.opened(this.points.rows[points[0]]);
    });
    this.plot.subscribe("lassoStart", () => (this.drawing = true));
    this.plot.subscribe("lassoEnd", ({ coordinates }) => {
      this.drawing = false;
      const corners = coordinates.map((corner) => [Number(corner[0]), Number(corner[1])]);
      this.say(`${(this.selected ?? 0).toLocaleString("en")} of the drawn faces in the lasso`);
      if (corners.length > 2) this.tell.lasso({ key: this.key, corners });
    });
  }

  async draw() {
    const { x, y, values, rows } = this.points;
    const { colours, legend } = this.data;
    const classes = Array.isArray(legend.labels);
    this.plot.set({
      colorBy: "valueA",
      pointColor: colours,
      pointSize: rows.length > MANY ? 1 : rows.length > 20000 ? 2 : rows.length > 2000 ? 4 : 6,
    });
    await this.plot.draw(
      { x, y, valueA: values },
      { zDataType: classes ? "categorical" : "continuous" }
    );
    this.explain(legend, colours);
    this.say(`${rows.length.toLocaleString("en")} faces are drawn`);
    this.root.dataset.drawn = this.key;
  }

  explain(legend, colours) {
    const title = document.createElement("b");
    title.textContent = legend.title;
    const parts = [title];
    if (Array.isArray(legend.labels)) {
      legend.labels.forEach((label, number) => {
        const line = document.createElement("div");
        const dot = document.createElement("i");
        dot.style.background = colours[number];
        line.append(dot, `${label} (${legend.counts[number].toLocaleString("en")})`);
        parts.push(line);
      });
    } else {
      const scale = document.createElement("div");
      scale.className = "fs-scale";
      scale.style.background = `linear-gradient(to right, ${colours.join(",")})`;
      const ends = document.createElement("div");
      ends.className = "fs-ends";
      ends.append(Object.assign(document.createElement("span"), { textContent: legend.low }));
      ends.append(Object.assign(document.createElement("span"), { textContent: legend.high }));
      parts.push(scale, ends);
    }
    this.legend.replaceChildren(...parts);
  }

  over(index) {
    const row = this.points.rows[index];
    const [image, text] = this.thumb.children;
    image.src = `${this.data.prefix}/faces/${row}.jpg`;
    const { legend } = this.data;
    const value = this.points.values[index];
    text.textContent = Array.isArray(legend.labels)
      ? legend.labels[value]
      : `${legend.title}: ${(legend.least + value * (legend.most - legend.least)).toPrecision(3)}`;
    const [x, y] = this.plot.getScreenPosition(index) ?? [0, 0];
    const { width, height } = this.root.getBoundingClientRect();
    this.thumb.style.display = "block";
    this.thumb.style.left = `${Math.max(4, x + 150 > width ? x - 150 : x + 12)}px`;
    this.thumb.style.top = `${Math.max(4, Math.min(y + 12, height - 170))}px`;
  }

  out() {
    this.thumb.style.display = "none";
  }

  say(text) {
    this.said.textContent = text;
  }

  stop() {
    this.resized.disconnect();
    this.plot?.destroy();
    this.plot = undefined;
  }
}

const maps = new WeakMap();

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  let map = maps.get(parentElement);
  if (!map) {
    map = new FaceMap(parentElement);
    maps.set(parentElement, map);
  }
  map.show(data, {
    lasso: (lasso) => setStateValue("lasso", lasso),
    opened: (row) => setTriggerValue("opened", row),
  });
  return () => {
    map.stop();
    map.root.remove();
    maps.delete(parentElement);
  };
}
