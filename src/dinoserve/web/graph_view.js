"use strict";
// Draws the graph around a node; a click on a node fetches what is near it.

const SVG = "http://www.w3.org/2000/svg";
const PAGE = 30; // neighbours of one click
const MOST = 400; // nodes drawn: each pushes every other away
const SIZE = 44; // of a node, in the units of the drawing
const COLOURS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#888888"];

const element = (id) => document.getElementById(id);
const nodes = new Map(); // by id: where it lies, how fast it moves, what draws it
const lines = new Map(); // by source, target and kind
const colours = new Map(); // by kind of relation
const camera = { x: 0, y: 0, scale: 1 };
let heat = 0; // how far nodes may still move

function say(text) {
  element("status").textContent = text;
}

async function ask(path) {
  const key = sessionStorage.getItem("dinoserve-key");
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  const answer = await fetch(path, { headers });
  if (answer.status === 401) {
    element("unlock").hidden = false;
    element("key").focus();
    throw new Error("An API key is needed.");
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail || `The server answered ${answer.status}.`);
  }
  return answer;
}

function drawn(parent, name, attributes = {}) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return parent.appendChild(made);
}

function short(text) {
  return text.length > 18 ? `${text.slice(0, 17)}…` : text;
}

function addNode(view, near) {
  if (nodes.has(view.id)) return nodes.get(view.id);
  const angle = nodes.size * 2.4; // the golden angle: neighbours start apart
  const shape = drawn(element("dots"), "g", { class: "node", tabindex: 0 });
  const node = {
    id: view.id, shape, pages: null, vx: 0, vy: 0,
    x: (near ? near.x : 0) + 90 * Math.cos(angle),
    y: (near ? near.y : 0) + 90 * Math.sin(angle),
  };
  drawn(shape, "title").textContent = `${view.id}\n${view.collection || ""}`;
  drawn(shape, view.kind === "asset" ? "rect" : "circle",
    { x: -SIZE / 2, y: -SIZE / 2, width: SIZE, height: SIZE, r: SIZE / 2 });
  const label = view.name || view.id;
  drawn(shape, "text", { y: SIZE / 2 + 12 }).textContent = short(label);
  shape.dataset.node = view.id;
  nodes.set(view.id, node);
  if (view.thumbnail) addPicture(node, view.thumbnail);
  return node;
}

async function addPicture(node, path) {
  try {
    const picture = await (await ask(path)).blob();
    const href = URL.createObjectURL(picture);
    const inset = SIZE / 2 - 3;
    drawn(node.shape, "image",
      { href, x: -inset, y: -inset, width: 2 * inset, height: 2 * inset });
  } catch (error) {
    say(`A picture is missing: ${error.message}`);
  }
}

function colourOf(kind) {
  if (!colours.has(kind)) {
    colours.set(kind, COLOURS[colours.size % COLOURS.length]);
    const item = element("legend").appendChild(document.createElement("li"));
    item.appendChild(document.createElement("span")).style.background = colours.get(kind);
    item.append(kind);
  }
  return colours.get(kind);
}

function addLine(relation) {
  const key = JSON.stringify([relation.source, relation.target, relation.kind]);
  const from = nodes.get(relation.source), to = nodes.get(relation.target);
  if (lines.has(key) || !from || !to) return;
  const shape = drawn(element("lines"), "line", {
    stroke: colourOf(relation.kind),
    "stroke-width": 1 + 3 * relation.weight,
    "stroke-opacity": 0.7,
  });
  drawn(shape, "title").textContent =
    `${relation.source} → ${relation.target}\n${relation.kind} ${relation.weight.toFixed(3)}`;
  lines.set(key, { from, to, shape });
}

async function expand(node) {
  if (node.pages === "") return say("Everything next to it is drawn.");
  if (nodes.size >= MOST) return say(`${MOST} nodes are drawn; start anew from one of them.`);
  const query = new URLSearchParams({ limit: Math.min(PAGE, MOST - nodes.size) });
  if (node.pages) query.set("cursor", node.pages);
  const path = `/v1/graph/nodes/${encodeURIComponent(node.id)}/neighbors?${query}`;
  const found = await (await ask(path)).json();
  for (const view of found.nodes) addNode(view, node);
  for (const relation of found.relations) addLine(relation);
  node.pages = found.next_cursor || "";
  node.shape.classList.add("expanded");
  say(`${nodes.size} nodes, ${lines.size} relations` +
    (found.next_cursor ? "; click again for more of the same node" : ""));
  warm();
}

function clear() {
  for (const name of ["lines", "dots", "legend"]) element(name).replaceChildren();
  for (const each of [nodes, lines, colours]) each.clear();
  Object.assign(camera, { x: 0, y: 0, scale: 1 });
}

async function show(id) {
  clear();
  say("…");
  try {
    // The node itself comes with its name and picture from the subgraph of it alone.
    const query = new URLSearchParams({ node: id, depth: 0 });
    const graph = await (await ask(`/v1/graph/subgraph?${query}`)).json();
    await expand(addNode(graph.nodes[0], null));
  } catch (error) {
    say(error.message);
  }
}

// Layout: every two nodes push each other away, relations pull, all is drawn to the
// middle (Fruchterman and Reingold 1991).
function step() {
  const all = [...nodes.values()];
  for (const one of all) {
    one.vx -= one.x * 0.01;
    one.vy -= one.y * 0.01;
    for (const other of all) {
      const x = one.x - other.x, y = one.y - other.y;
      const square = Math.max(x * x + y * y, 100);
      if (one === other || square > 250000) continue;
      one.vx += (6000 * x) / (square * Math.sqrt(square)) * 10;
      one.vy += (6000 * y) / (square * Math.sqrt(square)) * 10;
    }
  }
  for (const { from, to } of lines.values()) {
    const x = to.x - from.x, y = to.y - from.y;
    from.vx += x * 0.02; from.vy += y * 0.02;
    to.vx -= x * 0.02; to.vy -= y * 0.02;
  }
  for (const node of all) {
    const speed = Math.hypot(node.vx, node.vy) || 1;
    const move = Math.min(speed, heat);
    node.x += (node.vx / speed) * move;
    node.y += (node.vy / speed) * move;
    node.vx *= 0.5; node.vy *= 0.5;
  }
}

function draw() {
  for (const { from, to, shape } of lines.values()) {
    for (const [name, value] of [["x1", from.x], ["y1", from.y], ["x2", to.x], ["y2", to.y]]) {
      shape.setAttribute(name, value);
    }
  }
  for (const { x, y, shape } of nodes.values()) {
    shape.setAttribute("transform", `translate(${x} ${y})`);
  }
  const box = element("drawing").getBoundingClientRect();
  const move = `translate(${box.width / 2 + camera.x} ${box.height / 2 + camera.y})`;
  element("world").setAttribute("transform", `${move} scale(${camera.scale})`);
}

function warm() {
  const isStill = heat <= 0.1;
  heat = 30;
  if (isStill) requestAnimationFrame(settle);
}

function settle() {
  step();
  draw();
  heat *= 0.98;
  if (heat > 0.1) requestAnimationFrame(settle);
}

function fit() {
  const box = element("drawing").getBoundingClientRect();
  const spots = [...nodes.values()];
  if (!spots.length) return;
  const xs = spots.map((node) => node.x), ys = spots.map((node) => node.y);
  const [left, right] = [Math.min(...xs) - SIZE, Math.max(...xs) + SIZE];
  const [top, bottom] = [Math.min(...ys) - SIZE, Math.max(...ys) + SIZE];
  camera.scale = Math.min(box.width / (right - left), box.height / (bottom - top), 3);
  camera.x = (-(left + right) / 2) * camera.scale;
  camera.y = (-(top + bottom) / 2) * camera.scale;
  draw();
}

function zoom(event) {
  event.preventDefault();
  const box = element("drawing").getBoundingClientRect();
  const factor = Math.exp(-event.deltaY / 500);
  const scale = Math.min(Math.max(camera.scale * factor, 0.05), 10);
  // What is under the pointer stays there.
  const x = event.clientX - box.left - box.width / 2, y = event.clientY - box.top - box.height / 2;
  camera.x = x - ((x - camera.x) * scale) / camera.scale;
  camera.y = y - ((y - camera.y) * scale) / camera.scale;
  camera.scale = scale;
  draw();
}

function pick(event) {
  const shape = event.target.closest(".node");
  if (shape) expand(nodes.get(shape.dataset.node)).catch((error) => say(error.message));
}

function listen() {
  const drawing = element("drawing");
  let held = null; // where the pointer was pressed, and whether it moved since
  drawing.addEventListener("wheel", zoom, { passive: false });
  drawing.addEventListener("pointerdown", (event) => {
    held = { x: event.clientX, y: event.clientY, moved: false };
  });
  addEventListener("pointermove", (event) => {
    if (!held) return;
    held.moved ||= Math.hypot(event.clientX - held.x, event.clientY - held.y) > 4;
    if (!held.moved) return;
    camera.x += event.movementX;
    camera.y += event.movementY;
    draw();
  });
  addEventListener("pointerup", (event) => {
    if (held && !held.moved) pick(event);
    held = null;
  });
  drawing.addEventListener("keydown", (event) => {
    if (event.key === "Enter") pick(event);
  });
  element("fit").addEventListener("click", fit);
  addEventListener("resize", draw);
  element("start").addEventListener("submit", (event) => {
    event.preventDefault();
    const node = element("node").value.trim();
    history.replaceState(null, "", `?${new URLSearchParams({ node })}`);
    show(node);
  });
  element("unlock").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("dinoserve-key", element("key").value);
    element("key").value = "";
    element("unlock").hidden = true;
    if (element("node").value) show(element("node").value.trim());
  });
}

listen();
const first = new URLSearchParams(location.search).get("node");
if (first) {
  element("node").value = first;
  show(first);
} else {
  say("Name a node, such as asset: and the id of an asset, or tag: and a name.");
}
