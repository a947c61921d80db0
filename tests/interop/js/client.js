// Runs one public interoperability case with @grpc/grpc-js:  node client.js ADDRESS CASE [TIMES [CA CERTIFICATE KEY]]
// With the files it speaks TLS, and shows the certificate.
// Exits with 0 if it passes. Otherwise it says what was wrong, and exits with 1.

'use strict';

const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const path = require('node:path');
const { setImmediate } = require('node:timers/promises');
const { inspect, isDeepStrictEqual, promisify } = require('node:util');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const ROOT = path.resolve(__dirname, '../../..');
const { TestService, UnimplementedService } = grpc.loadPackageDefinition(
  protoLoader.loadSync(path.join(ROOT, 'tests/interop/testing.proto'), {
    includeDirs: [ROOT, path.join(ROOT, 'actorrpc/include')],
    defaults: true,
    enums: String,
  }),
).grpc.testing;

const PATIENCE = 60_000; // milliseconds. No case comes near it, unless the server is silent.
const NO_COMPRESS = 2; // gRPC's flag for a message that stays plain in a compressed call

const REQUEST_SIZES = [27182, 8, 1828, 45904];
const REPLY_SIZES = [31415, 9, 2653, 58979];
const LARGE = { responseSize: 314159, payload: { body: Buffer.alloc(271828) } };
const YES = { value: true };
const NO = { value: false };

let credentials = grpc.credentials.createInsecure();

// ---- The shapes of a call: each returns what came, and how it ended

function connect(address, Service = TestService, options = {}) {
  return new Service(address, credentials, {
    'grpc.use_local_subchannel_pool': 1, // so that a new client is a new connection
    ...options,
  });
}

function connectCompressed(address) {
  return connect(address, TestService, {
    'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip,
  });
}

function deadline(milliseconds = PATIENCE) {
  return { deadline: Date.now() + milliseconds };
}

/** Follow a call to its end. Resolves to {status, initial, replies}; a bad status is not an error here. */
function follow(call, replies = []) {
  return new Promise((resolve) => {
    const outcome = { replies };
    call.on('metadata', (metadata) => { outcome.initial = metadata; });
    call.on('error', () => {}); // the status tells
    call.on('data', (reply) => replies.push(reply));
    call.on('status', (status) => resolve(Object.assign(outcome, { status })));
  });
}

async function unary(client, method, request, { metadata = new grpc.Metadata(), ...options } = {}) {
  const replies = [];
  let call;
  const answered = new Promise((resolve) => {
    call = client[method](request, metadata, { ...deadline(), ...options }, (error, reply) => {
      if (!error) replies.push(reply);
      resolve();
    });
  });
  const [outcome] = await Promise.all([follow(call, replies), answered]);
  return outcome;
}

/** Call a method that streams requests. Each request is [message, flags]. */
async function collect(client, method, requests) {
  const replies = [];
  let call;
  const answered = new Promise((resolve) => {
    call = client[method](deadline(), (error, reply) => {
      if (!error) replies.push(reply);
      resolve();
    });
  });
  const ended = follow(call, replies);
  for (const [message, flags] of requests) call.write(message, flags);
  call.end();
  await answered;
  return ended;
}

function nextReply(call) {
  return new Promise((resolve, reject) => {
    call.once('data', resolve);
    call.once('status', (status) => reject(new Error(`ended with ${JSON.stringify(status)}, not a reply`)));
  });
}

function output(requestSize, ...sizes) {
  return {
    responseParameters: sizes.map((size) => ({ size })),
    payload: { body: Buffer.alloc(requestSize) },
  };
}

function check(outcome, code, ...replies) {
  assert.equal(outcome.status.code, code, outcome.status.details);
  assert.ok(isDeepStrictEqual(outcome.replies, replies), inspect(outcome.replies)); // a diff of 300 kB is slow
}

function zeros(size) {
  return { payload: { type: 'COMPRESSABLE', body: Buffer.alloc(size) } };
}

function checkLarge(outcome) {
  check(outcome, grpc.status.OK, { ...zeros(314159), serverId: '' });
}

/** An interceptor: the call's message stays plain, whatever the channel does to others. */
function plain(options, nextCall) {
  class Plain extends grpc.InterceptingCall {
    sendMessageWithContext(context, message) {
      super.sendMessageWithContext({ ...context, flags: NO_COMPRESS }, message);
    }
  }
  return new Plain(nextCall(options));
}

async function echoesStatus(client, message) {
  const outcome = await unary(client, 'UnaryCall', { responseStatus: { code: 2, message } });
  check(outcome, grpc.status.UNKNOWN);
  assert.equal(outcome.status.details, message);
}

// ---- The cases

const CASES = {
  async empty_unary(client) {
    check(await unary(client, 'EmptyCall', {}), grpc.status.OK, {});
  },

  async large_unary(client) {
    checkLarge(await unary(client, 'UnaryCall', LARGE));
  },

  async client_compressed_unary(client) {
    const expecting = (expectCompressed) => ({ ...LARGE, expectCompressed });
    const probe = await unary(client, 'UnaryCall', expecting(YES), { interceptors: [plain] });
    check(probe, grpc.status.INVALID_ARGUMENT);
    checkLarge(await unary(client, 'UnaryCall', expecting(YES)));
    checkLarge(await unary(client, 'UnaryCall', expecting(NO), { interceptors: [plain] }));
  },

  async server_compressed_unary(client) {
    checkLarge(await unary(client, 'UnaryCall', { ...LARGE, responseCompressed: YES }));
    checkLarge(await unary(client, 'UnaryCall', { ...LARGE, responseCompressed: NO }));
  },

  async client_streaming(client) {
    const requests = REQUEST_SIZES.map((size) => [zeros(size)]);
    const outcome = await collect(client, 'StreamingInputCall', requests);
    check(outcome, grpc.status.OK, { aggregatedPayloadSize: 74922 });
  },

  async client_compressed_streaming(client) {
    const first = { ...zeros(27182), expectCompressed: YES };
    const second = { ...zeros(45904), expectCompressed: NO };
    const probe = await collect(client, 'StreamingInputCall', [[first, NO_COMPRESS]]);
    check(probe, grpc.status.INVALID_ARGUMENT);
    const outcome = await collect(client, 'StreamingInputCall', [[first], [second, NO_COMPRESS]]);
    check(outcome, grpc.status.OK, { aggregatedPayloadSize: 73086 });
  },

  async server_streaming(client) {
    const outcome = await follow(client.StreamingOutputCall(output(0, ...REPLY_SIZES), deadline()));
    check(outcome, grpc.status.OK, ...REPLY_SIZES.map(zeros));
  },

  async server_compressed_streaming(client) {
    const responseParameters = [{ compressed: YES, size: 31415 }, { compressed: NO, size: 92653 }];
    const outcome = await follow(client.StreamingOutputCall({ responseParameters }, deadline()));
    check(outcome, grpc.status.OK, zeros(31415), zeros(92653));
  },

  async ping_pong(client) {
    const call = client.FullDuplexCall(deadline());
    const ended = follow(call);
    for (const [turn, size] of REQUEST_SIZES.entries()) {
      call.write(output(size, REPLY_SIZES[turn]));
      await nextReply(call);
    }
    call.end();
    check(await ended, grpc.status.OK, ...REPLY_SIZES.map(zeros));
  },

  async empty_stream(client) {
    const call = client.FullDuplexCall(deadline());
    call.end();
    check(await follow(call), grpc.status.OK);
  },

  async custom_metadata(client) {
    const initial = ['x-grpc-test-echo-initial', 'test_initial_metadata_value'];
    const trailing = ['x-grpc-test-echo-trailing-bin', Buffer.from([0xab, 0xab, 0xab])];
    const metadata = new grpc.Metadata();
    metadata.set(...initial);
    metadata.set(...trailing);

    const single = await unary(client, 'UnaryCall', LARGE, { metadata });
    checkLarge(single);
    const call = client.FullDuplexCall(metadata, deadline());
    call.write(output(271828, 314159));
    call.end();
    const duplex = await follow(call);
    check(duplex, grpc.status.OK, zeros(314159));
    for (const outcome of [single, duplex]) {
      assert.deepEqual(outcome.initial.get(initial[0]), [initial[1]]);
      assert.deepEqual(outcome.status.metadata.get(trailing[0]), [trailing[1]]);
    }
  },

  async status_code_and_message(client) {
    await echoesStatus(client, 'test status message');
    const call = client.FullDuplexCall(deadline());
    call.write({ responseStatus: { code: 2, message: 'test status message' } });
    call.end();
    const outcome = await follow(call);
    check(outcome, grpc.status.UNKNOWN);
    assert.equal(outcome.status.details, 'test status message');
  },

  async special_status_message(client) {
    await echoesStatus(client, '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n');
  },

  async unimplemented_method(client) {
    check(await unary(client, 'UnimplementedCall', {}), grpc.status.UNIMPLEMENTED);
  },

  async unimplemented_service(client) {
    check(await unary(client, 'UnimplementedCall', {}), grpc.status.UNIMPLEMENTED);
  },

  async cancel_after_begin(client) {
    await promisify(client.waitForReady).call(client, Date.now() + PATIENCE);
    const call = client.StreamingInputCall(deadline(), () => {});
    const ended = follow(call);
    // Not at once: grpc-js begins a stream a few ticks later, and would never reset it.
    await setImmediate();
    call.cancel();
    check(await ended, grpc.status.CANCELLED);
    await CASES.empty_unary(client);
  },

  async cancel_after_first_response(client) {
    const call = client.FullDuplexCall(deadline());
    const ended = follow(call);
    call.write(output(27182, 31415));
    await nextReply(call);
    call.cancel();
    check(await ended, grpc.status.CANCELLED, zeros(31415));
    await CASES.empty_unary(client);
  },

  async timeout_on_sleeping_server(client) {
    const call = client.FullDuplexCall(deadline(1));
    const ended = follow(call);
    call.write(output(27182));
    check(await ended, grpc.status.DEADLINE_EXCEEDED);
    await CASES.empty_unary(client);
  },

  async rpc_soak(client) {
    for (let round = 0; round < 20; round += 1) await CASES.large_unary(client);
  },

  /** Not a public case: tests/interop/test_full.py runs it against a server without room. */
  async server_is_full(client) {
    const outcome = await unary(client, 'EmptyCall', {});
    check(outcome, grpc.status.UNAVAILABLE);
    assert.equal(outcome.status.details, 'the server is full: 1 connections');
  },

  /** Not a public case: test_cases.py runs it, to see who the server takes it for. */
  async is_known(client) {
    const { status } = await unary(client, 'UnaryCall', { fillServerId: true });
    const [name] = status.metadata.get('x-actorrpc-identity');
    assert.equal(name, credentials._isSecure() ? 'ann.example' : '');
  },

  async channel_soak(client, address) {
    for (let round = 0; round < 5; round += 1) {
      const another = connect(address);
      await CASES.large_unary(another);
      another.close();
    }
  },
};

/** The cases that need another channel than the plain one. */
const CHANNELS = {
  client_compressed_unary: connectCompressed,
  client_compressed_streaming: connectCompressed,
  unimplemented_service: (address) => connect(address, UnimplementedService),
};

async function main(address, name, times = '1', ...files) {
  assert.ok(name in CASES, `the cases are ${Object.keys(CASES).join(', ')}; not ${name}`);
  if (files.length) {
    const [ca, certificate, key] = files.map((file) => readFileSync(file));
    credentials = grpc.credentials.createSsl(ca, key, certificate);
  }
  const client = (CHANNELS[name] ?? connect)(address);
  for (let run = 0; run < Number(times); run += 1) await CASES[name](client, address);
  client.close();
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.stack);
  process.exit(1);
});
