// Reads {"accepted":[{name,compact,x,alg}],"refused":[…]} and says what jose makes
// of each: documents of "accepted" have to verify, those of "refused" must not.
import { readFileSync } from "node:fs";
import { compactVerify, importJWK } from "jose";

const input = JSON.parse(readFileSync(0, "utf8"));
const complaints = [];
let verified = 0;

async function verify(doc) {
  const key = await importJWK({ kty: "OKP", crv: "Ed25519", x: doc.x }, doc.alg);
  const { protectedHeader } = await compactVerify(doc.compact, key, { algorithms: [doc.alg] });
  if (!protectedHeader.typ) throw new Error("no typ");
}

for (const doc of input.accepted) {
  try {
    await verify(doc);
    verified++;
  } catch (err) {
    complaints.push(`${doc.name}: ${err.message}`);
  }
}
for (const doc of input.refused) {
  try {
    await verify(doc);
    complaints.push(`${doc.name}: accepted`);
  } catch {
    verified++;
  }
}
console.log(JSON.stringify({ verified, complaints }));
