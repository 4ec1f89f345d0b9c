// HTTP Message Signatures by the npm package of that name, for all cases of the tests at once: JSON in, JSON out.
// {"sign": [{algorithm, keyid, created, method, url, headers, body}], "verify": [{algorithm, jwk, method, url, headers, body}]}
// gives {"sign": [{jwk, headers}], "verify": [verdict]}; a verdict is "ok", "digest", "signature" or the message of an error.
import { constants, createHash, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSigner, createVerifier, httpbis } from "http-message-signatures";
import { parseDictionary } from "structured-headers";

const COMPONENTS = ["@method", "@target-uri", "content-digest", "content-length", "date"];
const PARAMETERS = ["created", "keyid", "alg", "tag"];
const KEYS = {
  "ed25519": ["ed25519", {}],
  "ecdsa-p256-sha256": ["ec", { namedCurve: "P-256" }],
  "ecdsa-p384-sha384": ["ec", { namedCurve: "P-384" }],
  "rsa-pss-sha512": ["rsa", { modulusLength: 2048 }],
  "rsa-v1_5-sha256": ["rsa", { modulusLength: 2048 }],
};

const digest = (body) => createHash("sha256").update(body).digest();

// The package signs RSA-PSS with a salt as long as fits; RFC 9421, section 3.3.1 says 64 bytes. Both kinds are asked for.
function signer({ algorithm, keyid, salt }, privateKey) {
  if (salt === undefined) return createSigner(privateKey, algorithm, keyid);
  const options = { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: salt };
  return { id: keyid, alg: algorithm, sign: async (data) => sign("sha512", data, options) };
}

async function signCase(wanted) {
  const { publicKey, privateKey } = generateKeyPairSync(...KEYS[wanted.algorithm]);
  const headers = {
    ...wanted.headers,
    "Content-Digest": `sha-256=:${digest(wanted.body).toString("base64")}:`,
    "Content-Length": String(Buffer.byteLength(wanted.body)),
    "Date": new Date(wanted.created * 1000).toUTCString(),
  };
  const config = {
    key: signer(wanted, privateKey),
    name: "ocm",
    fields: COMPONENTS,
    params: PARAMETERS,
    paramValues: { created: new Date(wanted.created * 1000), tag: "ocm" },
  };
  const signed = await httpbis.signMessage(config, { method: wanted.method, url: wanted.url, headers });
  return { jwk: publicKey.export({ format: "jwk" }), headers: signed.headers };
}

async function verifyCase({ algorithm, jwk, method, url, headers, body }) {
  const key = createPublicKey({ key: jwk, format: "jwk" });
  const config = {
    keyLookup: async ({ keyid }) => (keyid === jwk.kid ? { algs: [algorithm], verify: createVerifier(key, algorithm) } : null),
    requiredFields: COMPONENTS,
    requiredParams: PARAMETERS,
  };
  try {
    const sent = Buffer.from(parseDictionary(headers["content-digest"]).get("sha-256")[0]);
    if (!sent.equals(digest(body))) return "digest";
    return (await httpbis.verifyMessage(config, { method, url, headers })) === true ? "ok" : "signature";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

const cases = JSON.parse(readFileSync(0, "utf8"));
const answer = { sign: await Promise.all(cases.sign.map(signCase)), verify: await Promise.all(cases.verify.map(verifyCase)) };
process.stdout.write(JSON.stringify(answer));
