"use strict";
// Draws every .plot from the JSON beside it; a click on a mark, or on a button with data-details, shows what is known of it.
const ink = () => getComputedStyle(root).getPropertyValue("--ink").trim();
const line = () => getComputedStyle(root).getPropertyValue("--line").trim();
const layout = (given) => ({
  font: { family: "system-ui, sans-serif", size: 12, color: ink() },
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
  margin: { l: 60, r: 16, t: 34, b: 48 }, hovermode: "closest", dragmode: "pan",
  legend: { orientation: "h", y: -0.18, traceorder: "normal" },
  modebar: { bgcolor: "rgba(0,0,0,0)", color: line(), activecolor: ink() }, ...given,
  xaxis: { gridcolor: line(), zerolinecolor: line(), automargin: true, ...(given.xaxis ?? {}) },
  yaxis: { gridcolor: line(), zerolinecolor: line(), automargin: true, ...(given.yaxis ?? {}) },
});
const config = { responsive: true, displaylogo: false, scrollZoom: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
function tell(place, html) {
  const panel = document.getElementById(place);
  if (!panel || html === undefined) return;
  panel.innerHTML = html;
}
function pointDetails(store, n) {
  const esc = (text) => { const node = document.createElement("span"); node.textContent = text; return node.innerHTML; };
  const rows = store.columns.map((name, column) => `<tr><th class="text" scope="row">${esc(name)}</th><td class="text">${esc(String(store.values[column][n] ?? ""))}</td></tr>`);
  return `<h3>Point ${n + 1}</h3><div class="wide"><table><tbody>${rows.join("")}</tbody></table></div><p>Remake it:</p><pre><code>${esc(command(store, n))}</code></pre>`;
}
function command(store, n) {
  const at = (name) => store.values[store.columns.indexOf(name)]?.[n];
  if (at("command")) return at("command");
  const sets = store.settings.filter((name) => at(name) !== null && at(name) !== "").map((name) => ` --set ${name.replace(/^settings\./, "")}=${at(name)}`);
  return `tapeout run ${at("arch")} ${at("workload")}${sets.join("")}`;
}
document.querySelectorAll("script[data-plot]").forEach((source) => {
  const place = document.getElementById(source.dataset.plot);
  const spec = JSON.parse(source.textContent);
  const store = spec.store ? JSON.parse(document.getElementById(spec.store).textContent) : null;
  if (store) for (const trace of spec.data) {
    trace.x = trace.rows.map((n) => store.values[store.columns.indexOf(spec.x)][n]);
    trace.y = trace.rows.map((n) => store.values[store.columns.indexOf(spec.y)][n]);
  }
  const draw = () => Plotly.react(place, spec.data, layout(spec.layout ?? {}), config);
  draw();
  place.on("plotly_click", (event) => {
    const mark = event.points[0];
    if (store) tell(spec.details, pointDetails(store, mark.data.rows[mark.pointNumber]));
    else {
      const name = spec.layout?.yaxis?.type === "category" ? mark.y : mark.x;
      tell(spec.details, document.getElementById(`${spec.details}-${spec.names.indexOf(name)}`)?.innerHTML);
    }
  });
  root.addEventListener("themechange", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
});
document.querySelectorAll("button[data-details]").forEach((button) => button.addEventListener("click", () => {
  const store = button.dataset.store ? JSON.parse(document.getElementById(button.dataset.store).textContent) : null;
  tell(button.dataset.details, store ? pointDetails(store, Number(button.dataset.point)) : document.getElementById(`${button.dataset.details}-${button.dataset.point}`)?.innerHTML);
  document.getElementById(button.dataset.details).scrollIntoView({ block: "nearest" });
}));
