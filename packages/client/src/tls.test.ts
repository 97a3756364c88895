/** A client's settings of TLS: what it speaks, and that a file that cannot be used is named at once. */
import { silentLogger, systemClock } from '@dledger-ts/base'
import { NO_SERVER_TLS, RemotingServer, Tls } from '@dledger-ts/remoting'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, it } from 'vitest'
import type { ClientTls } from './options.ts'
import { Producer } from './producer/producer.ts'

const vector = (name: string): string => fileURLToPath(new URL(`../../../test/vectors/tls/${name}`, import.meta.url))

const owned: (() => unknown)[] = []
afterEach(async () => {
  for (const close of owned.splice(0).reverse()) await close()
})

/** A namesrv that hears nothing but TLS and knows no topic. @returns how many connections it took. */
async function namesrv(): Promise<{ namesrvAddress: string; accepted: () => number }> {
  const keys = {
    ...NO_SERVER_TLS,
    'tls.server.mode': 'enforcing',
    'tls.server.keyPath': vector('server.key'),
    'tls.server.certPath': vector('server.pem'),
  } as const
  const { sockets } = new Tls({ server: keys, client: null, clock: systemClock, logger: silentLogger })
  const server = new RemotingServer({ host: '127.0.0.1', ports: [0], processors: new Map(), sockets })
  await server.start()
  owned.push(() => server.close())
  return {
    namesrvAddress: `127.0.0.1:${server.ports[0]}`,
    accepted: () => server.counters.acceptedConnections,
  }
}

async function sendOnce(namesrvAddress: string, tls: boolean | ClientTls): Promise<void> {
  const producer = new Producer({ group: 'g', namesrvAddress, tls })
  owned.push(() => producer.close())
  producer.start()
  await expect(producer.send({ topic: 'T', body: Buffer.from('x') }, { timeoutMs: 500 })).rejects.toThrow()
}

it.each([
  { tls: false, isHeard: false },
  { tls: true, isHeard: true },
  { tls: { authServer: true, trustCertPath: vector('authority.pem') }, isHeard: true },
  { tls: { authServer: true, trustCertPath: vector('other.pem') }, isHeard: false },
])('with $tls a server that enforces TLS hears it: $isHeard', async ({ tls, isHeard }) => {
  const { namesrvAddress, accepted } = await namesrv()
  await sendOnce(namesrvAddress, tls)
  expect(accepted() > 0).toBe(isHeard)
})

it('a file that cannot be used is named', () => {
  const making = (): Producer =>
    new Producer({ group: 'g', namesrvAddress: 'a:1', tls: { authServer: true, trustCertPath: '/no/authority.pem' } })
  expect(making).toThrow(/^tls\.client\.trustCertPath=\/no\/authority\.pem: it cannot be read/)
  expect(making).toThrow(expect.objectContaining({ code: 'INVALID' }) as Error)
})
