// A real gRPC client of Node: calls xds:///web until both backends answered, then until only the second one does.
const grpc = require('@grpc/grpc-js');
require('@grpc/grpc-js-xds').register();

const identity = (b) => b;
const Client = grpc.makeGenericClientConstructor({
  who: { path: '/demo.Echo/Who', requestStream: false, responseStream: false, requestSerialize: identity, requestDeserialize: identity, responseSerialize: identity, responseDeserialize: identity },
}, 'Echo');
const client = new Client('xds:///web', grpc.credentials.createInsecure());
const deadline = Date.now() + 30000;
const seen = new Set();
let streak = 0;

function again() {
  if (Date.now() > deadline) {
    console.log('gave up: saw', [...seen], 'streak', streak);
    process.exit(1);
  }
  const metadata = new grpc.Metadata({ waitForReady: true });
  client.who(Buffer.alloc(0), metadata, { deadline: Date.now() + 10000 }, (err, answer) => {
    if (err) {
      console.log('call failed:', err.message);
      process.exit(1);
    }
    const who = answer.toString();
    if (seen.size < 2) {
      seen.add(who);
      if (seen.size === 2) console.log('both');
    } else {
      streak = who === 'b2' ? streak + 1 : 0;
      if (streak === 50) {
        console.log('moved');
        process.exit(0);
      }
    }
    setTimeout(again, 2);
  });
}
again();
