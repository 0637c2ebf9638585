// Ranks by a history from a JSON export of a fedrec release, in a browser or under Node: no network, nothing kept.
//
//     const ranking = openExport(await (await fetch("release.json")).json());
//     ranking.recommend(["item-3", "item-8"], { top: 10 });   // [{ rank, id, title, score }, ...]
//
// The score is that of a device whose owner has no notes and no photos: content tower, behaviour (a table and a
// fold-in) and popularity, each standardised over the catalogue, mixed, and weighed by how much each tells.

import {
  added, addRow, affine, array, dot, matrix, mean, sigmoid, softmax, solved, standardised, sumOf, times, unit, weighed,
} from "./arrays.js";

const VERSION = 1;
const DAY = 86400;

/** Open a parsed export. Throws where it is of another kind or version. */
export function openExport(document) {
  if (document?.format !== "fedrec.export") throw new Error("this is no export of fedrec");
  if (document.version !== VERSION) throw new Error(`the export is of version ${document.version}, not ${VERSION}`);
  return new Ranking(document);
}

class Ranking {
  constructor(document) {
    this.document = document;
    this.ids = document.ids;
    this.titles = document.titles;
    this.places = new Map(this.ids.map((id, place) => [id, place]));
    this.order = array(document.order);
    this.popularity = array(document.popularity);
    this.tower = document.tower && new Tower(document.tower);
    this.table = document.table && new Table(document.table);
    this.foldIn = document.fold_in && new FoldIn(document.fold_in, this.ids.length);
    this.evidence = document.evidence && new Evidence(document.evidence);
  }

  /** The best items that are not in the history, best first. `history`: ids, the oldest first; unknown ones are left
   *  out. `at`: when it is asked and `times`: when each was met, seconds since 1970 or null; read where the release
   *  reads the time of day. */
  recommend(history, { top = 10, at = null, times = [] } = {}) {
    const met = new Map();
    history.forEach((id, turn) => {
      const place = this.places.get(id);
      if (place !== undefined && !met.has(place)) met.set(place, times[turn] ?? null);
    });
    const scores = this.scores([...met.keys()], { at, times: [...met.values()] });
    return this.best(scores, met, top).map((place, index) => ({
      rank: index + 1, id: this.ids[place], title: this.titles[place], score: scores[place],
    }));
  }

  /** The score of every item, for places in the catalogue, each once, the oldest first. */
  scores(places, { at = null, times = [] } = {}) {
    let score = Float64Array.from(this.popularity);
    if (this.tower) score = added(score, this.tower.scores(places, at, times), this.tower.weight);
    if (this.table) {
      let behaviour = standardised(this.table.scores(places));
      if (this.foldIn) {
        const folded = standardised(this.foldIn.scores(places, this.table.counts(places)));
        const share = this.foldIn.share;
        behaviour = standardised(behaviour.map((one, item) => (1 - share) * one + share * folded[item]));
      }
      score = added(score, behaviour, this.table.weight);
    }
    return this.evidence ? this.evidence.weighed(score, places) : score;
  }

  /** The places of the `count` best items that `met` (has) lacks; of equal scores the lower in `order` comes first. */
  best(scores, met, count) {
    const left = [];
    for (let item = 0; item < scores.length; item++) if (!met.has(item)) left.push(item);
    left.sort((one, other) => scores[other] - scores[one] || this.order[one] - this.order[other]);
    return left.slice(0, count);
  }

  /** Rank the histories that came with the export: how many have the device's first ten, and how far the scores are. */
  check() {
    let same = 0, difference = 0;
    for (const probe of this.document.probes) {
      const scores = this.scores(probe.history, { at: probe.at });
      const top = this.best(scores, new Set(probe.history), probe.top.length);
      if (top.every((place, rank) => place === probe.top[rank])) same += 1;
      probe.top.forEach((place, rank) => {
        difference = Math.max(difference, Math.abs(scores[place] - probe.scores[rank]));
      });
    }
    return { histories: this.document.probes.length, same, difference };
  }
}

class Table {
  constructor(facts) {
    this.history = matrix(facts.history);
    this.candidate = matrix(facts.candidate);
    this.recency = facts.recency;
    this.weight = facts.weight;
  }

  /** How much each event counts: (1 + how many came later) ^ -recency. */
  counts(places) {
    return places.map((_, turn) => (places.length - turn) ** -this.recency);
  }

  scores(places) {
    const counts = this.counts(places);
    const user = new Float64Array(this.history.width);
    places.forEach((place, turn) => addRow(user, this.history, place, counts[turn]));
    return times(this.candidate, user);
  }
}

// A user's place among factors: (D + sum c_j v_j v_j^T) p = sum c_j v_j, by as many equations as there are events, or
// as an item has factors, whichever are fewer.
class FoldIn {
  constructor(facts, items) {
    Object.assign(this, { unknown: facts.unknown, ridge: facts.ridge, share: facts.share, items });
    this.factors = matrix(facts.factors);
    this.spread = array(facts.spread);
  }

  scores(places, counts) {
    const { factors, items } = this;
    const width = factors.width;
    const known = counts.reduce((sum, one) => sum + one, 0) + this.unknown * items;
    const diagonal = Float64Array.from(this.spread, (one) => this.unknown * one + this.ridge * known);
    const own = places.map((place, turn) => {
      const row = new Float64Array(width);
      addRow(row, factors, place, Math.sqrt(counts[turn]));
      return row.map((one, k) => one / Math.sqrt(diagonal[k]));
    });
    const roots = counts.map(Math.sqrt);
    const user = new Float64Array(width);
    if (own.length <= width) {
      const gram = own.map((one, i) => own.map((other, j) => dot(one, other) + (i === j ? 1 : 0)));
      solved(gram, roots).forEach((weight, i) => own[i].forEach((one, k) => { user[k] += weight * one; }));
    } else {
      const gram = Array.from({ length: width }, (_, i) => {
        const row = new Float64Array(width);
        row[i] = 1;
        for (const one of own) for (let j = 0; j < width; j++) row[j] += one[i] * one[j];
        return row;
      });
      const wanted = Float64Array.from({ length: width }, (_, k) => own.reduce((sum, one, i) => sum + roots[i] * one[k], 0));
      user.set(solved(gram, wanted));
    }
    return times(factors, user.map((one, k) => one / Math.sqrt(diagonal[k])));
  }
}

class Tower {
  constructor(facts) {
    this.kind = facts.kind;
    this.history = facts.history;
    this.weight = facts.weight;
    this.vectors = matrix(facts.vectors);
    this.parameters = Object.fromEntries(
      Object.entries(facts.parameters).map(([name, one]) => [name, one.shape.length === 2 ? matrix(one) : array(one)]),
    );
    this.context = facts.context && matrix(facts.context);
    if (!(this.kind in HISTORIES)) throw new Error(`this page has no user tower ${this.kind}`);
  }

  scores(places, at, times_) {
    const read = places.slice(-this.history);
    const rows = read.map((place) => Float64Array.from(this.vectors.row(place)));
    let user = new Float64Array(this.vectors.width);
    if (rows.length) user = unit(HISTORIES[this.kind](rows, this.parameters));
    if (this.context) {
      const told = [...clock(at), ...meanClock(times_.slice(-this.history))];
      user = unit(user.map((one, k) => one + dot(this.context.row(k), told)));
    }
    return standardised(times(this.vectors, user));
  }
}

// One vector of the item vectors of a history, the oldest first; see fedrec/model/history.py.
const HISTORIES = {
  mean: (rows) => mean(rows),
  recency: (rows, given) => weighed(rows, softmax(recency(rows.length, given["decay.weight"]))),
  gru: (rows, given) => {
    const inward = [given["cell.inward.weight"], given["cell.inward.bias"]];
    const onward = [given["cell.onward.weight"], given["cell.onward.bias"]];
    const hidden = onward[0].width;
    let state = new Float64Array(hidden);
    const scale = Math.sqrt(rows[0].length);
    for (const row of rows) {
      const [i, o] = [affine(...inward, row.map((one) => one * scale)), affine(...onward, state)];
      state = state.map((before, k) => {
        const reset = sigmoid(i[k] + o[k]);
        const update = sigmoid(i[hidden + k] + o[hidden + k]);
        return update * before + (1 - update) * Math.tanh(i[2 * hidden + k] + reset * o[2 * hidden + k]);
      });
    }
    const out = times(given["out.weight"], state);
    return mean(rows).map((one, k) => one + out[k] / Math.sqrt(hidden));
  },
  attention: (rows, given) => {
    const queries = rows.map((row) => affine(given["query.weight"], given["query.bias"], row));
    const keys = rows.map((row) => times(given["key.weight"], row));
    const scale = queries[0].length ** -0.5;
    const seen = rows.map((row, i) => {
      const weights = softmax(keys.map((key) => dot(queries[i], key) * scale));
      return weighed(rows, weights).map((one, k) => one + row[k]);
    });
    const decay = recency(rows.length, given["recency.decay.weight"]);
    return weighed(seen, softmax(seen.map((row, i) => times(given["pool.weight"], row)[0] + decay[i])));
  },
};

// The configured score and popularity, each by how much it tells of the user; see fedrec/ranking/evidence.py.
class Evidence {
  constructor(facts) {
    this.facts = facts;
    this.popularity = array(facts.popularity);
    this.popular = array(facts.popular);
  }

  weighed(score, places) {
    const { popular, popularity, facts } = this;
    const met = new Set(places);
    const unseen = Float64Array.from(score, (_, item) => (met.has(item) ? 0 : 1));
    const count = Math.max(1, sumOf(unseen));
    const first = among(score, unseen, count);
    const second = among(popular, unseen, count);
    const told = facts.reads_events ? met.size : 0;
    const taste = facts.taste * Math.sqrt(told / (told + facts.taste_half));
    let mass = 0, byPopularity = 0, both = 0, said = 0;
    for (let item = 0; item < score.length; item++) {
      mass += unseen[item] * popularity[item];
      byPopularity += unseen[item] * popularity[item] * second.z[item];
      both += (unseen[item] * first.z[item] * second.z[item]) / count;
    }
    byPopularity = mass > 0 ? byPopularity / mass : 0;
    for (const place of places) said += second.z[place];
    const held = Math.min(byPopularity, (facts.prior_events * byPopularity + said) / (facts.prior_events + places.length));
    const [one, other] = fisher(taste, held, both, first.scale > 0, second.scale > 0, 1 + facts.error);
    return score.map((value, item) => one * first.scale * value + other * second.scale * popular[item]);
  }
}

/** Weights of two parts, none below 0; one that says nothing or would get less is left out. */
function fisher(first, second, both, there, popular, own) {
  const left = 1 / (own * own - both * both);
  const one = (own * first - both * second) * left, other = (own * second - both * first) * left;
  const keepOne = there && (!popular || one >= 0), keepOther = popular && (!there || other >= 0);
  return [
    Math.max(0, keepOne ? (keepOther ? one : first / own) : 0),
    Math.max(0, keepOther ? (keepOne ? other : second / own) : 0),
  ];
}

function among(score, unseen, count) {
  let average = 0, spread = 0, largest = 0;
  for (let item = 0; item < score.length; item++) average += (score[item] * unseen[item]) / count;
  for (let item = 0; item < score.length; item++) {
    spread += ((score[item] - average) ** 2 * unseen[item]) / count;
    largest = Math.max(largest, Math.abs(score[item]));
  }
  spread = Math.sqrt(spread);
  const scale = spread <= Math.max(1e-5 * largest, 1e-30) ? 0 : 1 / spread;
  return { scale, z: Float64Array.from(score, (one) => (one - average) * scale) };
}

function clock(seconds) {
  if (seconds === null || seconds < 0) return [0, 0];
  const angle = ((seconds % DAY) / DAY) * 2 * Math.PI;
  return [Math.sin(angle), Math.cos(angle)];
}

function meanClock(seconds) {
  const known = seconds.filter((one) => one !== null && one >= 0).map(clock);
  return [0, 1].map((k) => known.reduce((sum, one) => sum + one[k], 0) / Math.max(known.length, 1));
}

function recency(count, decay) {
  const [power, rate] = decay.row(0);
  return Array.from({ length: count }, (_, turn) => {
    const later = count - 1 - turn;
    return power * Math.log1p(later) + (rate * later) / 16;
  });
}
