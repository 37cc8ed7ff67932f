// Bring the views of a page to life: each element with data-live names one; what stands in it is there until then.
import {loadModel} from "./load.js";
import {make} from "./parts.js";

const FOLDER = new URL("model/", import.meta.url);
const VIEWS = {
  sampling: () => import("./sampling_view.js"),
  attention: () => import("./attention_view.js"),
  lens: () => import("./lens_view.js"),
  bits: () => import("./bits_view.js"),
  network: () => import("./network_view.js"),
};
let model; // a promise; every view of a page shares it
const listeners = new Set();

function load() {
  const tell = (done, total) => listeners.forEach((listen) => listen(done / total, total));
  return (model ??= loadModel(FOLDER, tell));
}

async function bring(place) {
  const stored = [...place.childNodes];
  const state = make("p.live-state", {role: "status"}, "The model is coming …");
  place.prepend(state);
  const listen = (share, total) =>
    (state.textContent = `The model is coming: ${Math.round(100 * share)} % of ${(total / 1e6).toFixed(1)} MB`);
  listeners.add(listen);
  try {
    const [ready, view] = await Promise.all([load(), VIEWS[place.dataset.live]()]);
    place.replaceChildren();
    const {prompt = ready.about.prompt ?? "", write = 0} = place.dataset;
    await view.mount(place, ready, {prompt, write: +write});
    place.dataset.ready = "yes";
  } catch (error) {
    state.textContent = `This view stays a picture: ${error.message}`;
    place.replaceChildren(state, ...stored);
    throw error;
  } finally {
    listeners.delete(listen);
  }
}

/** Load when the reader comes near; those who save data are asked first. */
function wait(place) {
  const near = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      near.disconnect();
      if (!navigator.connection?.saveData) return void bring(place);
      const ask = make("button", {type: "button"}, "Load the model, and let it work here");
      ask.onclick = () => (ask.remove(), bring(place));
      place.prepend(ask);
    },
    {rootMargin: "300px"},
  );
  near.observe(place);
}

document.querySelectorAll("[data-live]").forEach(wait);
