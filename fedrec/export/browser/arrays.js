// Arrays of a JSON export, and the arithmetic that ranking takes.

const EPSILON = 1e-6; // in the root of every length, as the model has it
const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

export function softmax(logits) {
  const most = Math.max(...logits);
  const grown = logits.map((one) => Math.exp(one - most));
  const total = sumOf(grown);
  return grown.map((one) => one / total);
}

export function mean(rows) {
  return weighed(rows, rows.map(() => 1 / rows.length));
}

export function weighed(rows, weights) {
  const found = new Float64Array(rows[0].length);
  rows.forEach((row, i) => row.forEach((one, k) => { found[k] += weights[i] * one; }));
  return found;
}

export function unit(vector) {
  const length = Math.sqrt(dot(vector, vector) + EPSILON);
  return vector.map((one) => one / length);
}

export function affine(weight, bias, vector) {
  return times(weight, vector).map((one, k) => one + bias[k]);
}

export function sigmoid(value) {
  return 1 / (1 + Math.exp(-value));
}

export function added(score, part, weight) {
  return score.map((one, item) => one + weight * part[item]);
}

/** matrix x vector, in float64. */
export function times(table, vector) {
  const found = new Float64Array(table.rows);
  const { data, width, scales } = table;
  for (let row = 0, at = 0; row < table.rows; row++) {
    let sum = 0;
    for (let k = 0; k < width; k++, at++) sum += data[at] * vector[k];
    found[row] = scales ? sum * scales[row] : sum;
  }
  return found;
}

export function addRow(into, table, place, weight) {
  const row = table.row(place);
  for (let k = 0; k < into.length; k++) into[k] += weight * row[k];
}

export function dot(one, other) {
  let sum = 0;
  for (let k = 0; k < one.length; k++) sum += one[k] * other[k];
  return sum;
}

export function sumOf(values) {
  let sum = 0;
  for (const one of values) sum += one;
  return sum;
}

/** x of matrix x = wanted for a symmetric positive matrix, by Cholesky's method; the matrix is overwritten. */
export function solved(matrix_, wanted) {
  const size = matrix_.length, found = Float64Array.from(wanted);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix_[i][j];
      for (let k = 0; k < j; k++) sum -= matrix_[i][k] * matrix_[j][k];
      matrix_[i][j] = i === j ? Math.sqrt(sum) : sum / matrix_[j][j];
    }
  }
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < i; k++) found[i] -= matrix_[i][k] * found[k];
    found[i] /= matrix_[i][i];
  }
  for (let i = size - 1; i >= 0; i--) {
    for (let k = i + 1; k < size; k++) found[i] -= matrix_[k][i] * found[k];
    found[i] /= matrix_[i][i];
  }
  return found;
}

/** A table [rows, width] of the document; `row` gives its numbers with the row's scale, where it has one. */
export function matrix(facts) {
  const [rows, width] = facts.shape;
  const data = array(facts);
  const scales = facts.scales ? numbers(facts.scales, "float32") : null;
  const row = (place) => {
    const found = data.subarray(place * width, (place + 1) * width);
    return scales ? Float64Array.from(found, (one) => one * scales[place]) : found;
  };
  return { rows, width, data, scales, row };
}

export function array(facts) {
  const found = numbers(facts.data, facts.type);
  const expected = facts.shape.reduce((product, one) => product * one, 1);
  if (found.length !== expected) throw new Error(`an array of ${found.length} numbers, ${expected} were promised`);
  return found;
}

function numbers(text, type) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = characters.charCodeAt(at);
  const kinds = { float32: ["getFloat32", Float32Array], float64: ["getFloat64", Float64Array],
    int32: ["getInt32", Int32Array], int8: ["getInt8", Int8Array] };
  if (!(type in kinds)) throw new Error(`there is no array of ${type}`);
  const [read, Kind] = kinds[type];
  if (LITTLE) return new Kind(bytes.buffer);
  const view = new DataView(bytes.buffer);
  return Kind.from({ length: bytes.length / Kind.BYTES_PER_ELEMENT }, (_, place) =>
    view[read](place * Kind.BYTES_PER_ELEMENT, true));
}

/** Mean 0 and standard deviation 1 over the catalogue; all 0 where the spread is only rounding. */
export function standardised(scores) {
  const average = sumOf(scores) / scores.length;
  let spread = 0, largest = 0;
  for (const one of scores) {
    spread += (one - average) ** 2 / scores.length;
    largest = Math.max(largest, Math.abs(one));
  }
  spread = Math.sqrt(spread);
  const scale = spread <= Math.max(1e-6 * largest, 1e-30) ? 0 : 1 / spread;
  return scores.map((one) => (one - average) * scale);
}
