/** Members that meet over TLS and know each other by certificates, with nothing but Node: `test/vectors/tls`. */
import { readFileSync } from 'node:fs'
import { connect, createServer } from 'node:tls'
import type { PeerSockets } from '../transport/sockets.ts'

const read = (name: string): Buffer => readFileSync(new URL(`../../../../test/vectors/tls/${name}`, import.meta.url))
const identity = { key: read('server.key'), cert: read('server.pem'), ca: read('authority.pem') }

export const tlsPeerSockets: PeerSockets = {
  connect: ({ host, port }) => connect({ host, port, ...identity }),
  createServer: (accepted) => createServer({ ...identity, requestCert: true, rejectUnauthorized: true }, accepted),
}
