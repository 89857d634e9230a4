// A mail server that nobody here wrote: the smtp-server of npm, with STARTTLS and a password. It tells of everything as
// lines of JSON on its output: {port}, {auth, ok}, {mail, from, to, user, tls}.
// usage: node mail_server.mjs NODE_FOLDER CERT_AND_KEY_FILE USER PASSWORD [starttls|tls]
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const [folder, pem, user, password, security = "starttls"] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(folder), "x.js"));
const { SMTPServer } = require("smtp-server");
const tell = (o) => process.stdout.write(JSON.stringify(o) + "\n");

const server = new SMTPServer({
  secure: security === "tls",
  key: fs.readFileSync(pem),
  cert: fs.readFileSync(pem),
  authMethods: ["PLAIN", "LOGIN"],
  authOptional: false,
  allowInsecureAuth: false,
  disableReverseLookup: true,
  onAuth(auth, session, done) {
    const ok = auth.username === user && auth.password === password;
    tell({ auth: auth.method, ok });
    done(ok ? null : new Error("Invalid username or password"), { user: auth.username });
  },
  onData(stream, session, done) {
    const pieces = [];
    stream.on("data", (piece) => pieces.push(piece));
    stream.on("end", () => {
      const { mailFrom, rcptTo } = session.envelope;
      tell({
        mail: Buffer.concat(pieces).toString("base64"),
        from: mailFrom.address,
        to: rcptTo.map((r) => r.address),
        user: session.user,
        tls: session.secure,
      });
      done();
    });
  },
});
server.on("error", (e) => tell({ error: e.message }));
server.listen(0, "127.0.0.1", () => tell({ port: server.server.address().port }));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
