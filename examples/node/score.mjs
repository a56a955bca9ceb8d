// Score a photo with a FaceStats server over gRPC.
//
//   npm install
//   node score.mjs photo.jpg --server localhost:8001
//
// Prints the faces as JSON. The contract: docs/reference/api.md.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const DEADLINE_MS = 30_000;
const ATTEMPTS = 6;
const WANTED = ['image_size', 'face_count', 'face_box', 'face_score', 'age_years', 'gender_probability', 'ethnicity_probability'];

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    server: { type: 'string', default: 'localhost:8001' },
    ca: { type: 'string' }, // certificates in PEM that vouch for the server; TLS is spoken then
    'token-file': { type: 'string' },
    protos: { type: 'string', default: fileURLToPath(new URL('../proto', import.meta.url)) },
  },
});

/** Return how the pixels of a JPEG lie, 1 to 8, from its Exif; the server leaves that to its callers. */
function orientationOf(photo) {
  if (photo.length < 4 || photo.readUInt16BE(0) !== 0xffd8) return 1;
  for (let at = 2; at + 4 <= photo.length && photo[at] === 0xff && photo[at + 1] !== 0xda; at += 2 + photo.readUInt16BE(at + 2)) {
    if (photo[at + 1] !== 0xe1 || photo.toString('latin1', at + 4, at + 10) !== 'Exif\0\0') continue;
    const tiff = photo.subarray(at + 10, at + 2 + photo.readUInt16BE(at + 2));
    const little = tiff.toString('latin1', 0, 2) === 'II';
    const u16 = (i) => (little ? tiff.readUInt16LE(i) : tiff.readUInt16BE(i));
    const u32 = (i) => (little ? tiff.readUInt32LE(i) : tiff.readUInt32BE(i));
    try {
      const folder = u32(4);
      for (let entry = 0; entry < u16(folder); entry++) {
        const place = folder + 2 + 12 * entry;
        if (u16(place) === 0x0112) return u16(place + 8) >= 1 && u16(place + 8) <= 8 ? u16(place + 8) : 1;
      }
    } catch {
      return 1; // a broken Exif counts as none
    }
  }
  return 1;
}

const definition = loader.loadSync('grpc_service.proto', {
  includeDirs: [options.protos],
  keepCase: true,
  longs: Number,
  defaults: true,
});
const { GRPCInferenceService } = grpc.loadPackageDefinition(definition).inference;
const credentials = options.ca ? grpc.credentials.createSsl(readFileSync(options.ca)) : grpc.credentials.createInsecure();
// Crops of a crowd are larger than the 4 MB that gRPC takes by default: 'grpc.max_receive_message_length': -1.
const client = new GRPCInferenceService(options.server, credentials);
const metadata = new grpc.Metadata();
if (options['token-file']) metadata.set('triton-grpc-protocol-token', readFileSync(options['token-file'], 'utf8').trim());

const call = (method, request) =>
  new Promise((resolve, reject) => {
    client[method](request, metadata, { deadline: Date.now() + DEADLINE_MS }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });

/** Make one request; a busy server is asked again after pauses that double. */
async function infer(request) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await call('ModelInfer', request);
    } catch (error) {
      const retryable = error.code === grpc.status.UNAVAILABLE && !error.details.includes('protocol is restricted');
      if (!retryable || attempt === ATTEMPTS - 1) throw error;
      await sleep(250 * 2 ** attempt);
    }
  }
}

/** Return the rows of an output: raw contents are little-endian numbers in the order of `outputs`. */
function rowsOf(answer, name) {
  const index = answer.outputs.findIndex((output) => output.name === name);
  const { datatype, shape } = answer.outputs[index];
  const bytes = answer.raw_output_contents[index];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const numbers = Array.from({ length: bytes.length / 4 }, (_, i) => (datatype === 'FP32' ? view.getFloat32(4 * i, true) : view.getInt32(4 * i, true)));
  const width = shape.slice(1).reduce((product, size) => product * Number(size), 1);
  return Array.from({ length: numbers.length / width }, (_, row) => numbers.slice(row * width, (row + 1) * width));
}

try {
  const photo = readFileSync(positionals[0]);
  const { config } = await call('ModelConfig', { name: 'facestats' });
  const labels = JSON.parse(config.parameters.labels.string_value);
  const thresholds = JSON.parse(config.parameters.thresholds.string_value);
  const served = new Set(config.output.map((output) => output.name)); // a head that is not served has no output
  const outputs = WANTED.filter((name) => served.has(name));
  const answer = await infer({
    model_name: 'facestats',
    inputs: [
      { name: 'encoded_image', datatype: 'UINT8', shape: [1, photo.length] },
      { name: 'orientation', datatype: 'UINT8', shape: [1, 1] },
    ],
    outputs: outputs.map((name) => ({ name })),
    raw_input_contents: [photo, Buffer.from([orientationOf(photo)])],
  });
  const [[count]] = rowsOf(answer, 'face_count'); // 0: the one row is a placeholder
  const [[width, height]] = rowsOf(answer, 'image_size');
  const rows = Object.fromEntries(outputs.map((name) => [name, rowsOf(answer, name).slice(0, count)]));
  const faces = rows.face_box.map((box, i) => {
    const face = { box, score: rows.face_score[i][0] };
    if (rows.age_years) face.age_years = rows.age_years[i][0];
    for (const head of ['gender', 'ethnicity']) {
      const probabilities = rows[`${head}_probability`]?.[i];
      if (!probabilities) continue;
      const best = probabilities.indexOf(Math.max(...probabilities));
      face[head] = probabilities[best] >= (thresholds[head] ?? 0) ? labels[head][best] : 'uncertain';
      face[`${head}_probability`] = Object.fromEntries(labels[head].map((label, k) => [label, probabilities[k]]));
    }
    return face;
  });
  console.log(JSON.stringify({ width, height, faces }, null, 1));
} catch (error) {
  console.error(error.details ? `${grpc.status[error.code]}: ${error.details}` : String(error));
  process.exitCode = 1;
} finally {
  client.close();
}
