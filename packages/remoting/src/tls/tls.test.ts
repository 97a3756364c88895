/** A server and clients with TLS: modes, certificates, and that what holds for plain connections holds for these. */
import { silentLogger, systemClock } from '@dledger-ts/base'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { RemotingClient } from '../client.ts'
import { createRequest, createResponse } from '../command.ts'
import type { Connection } from '../connection.ts'
import { encodeFrames } from '../frame.ts'
import type { Processor } from '../processor.ts'
import { RemotingServer, type RemotingServerOptions } from '../server.ts'
import { tcpSockets } from '../sockets.ts'
import { clientKeys, serverKeys, vector } from '../testing/certificates.ts'
import { rawServer, until } from '../testing/pair.ts'
import type { TlsClientKeys, TlsServerKeys } from './keys.ts'
import { Tls } from './tls.ts'

const ECHO = 1
const LARGE = 2
const MIB = 1024 * 1024

const owned: (() => unknown)[] = []
afterEach(async () => {
  for (const close of owned.splice(0).reverse()) await close()
})

const base = { clock: systemClock, logger: silentLogger }

async function startServer(keys: TlsServerKeys, options: Partial<RemotingServerOptions> = {}) {
  const opened: Connection[] = []
  const server = new RemotingServer({
    host: '127.0.0.1',
    ports: [0],
    processors: new Map<number, Processor>([
      [ECHO, (_, request) => createResponse(0, undefined, request.extFields, request.body)],
      [LARGE, () => createResponse(0, undefined, undefined, Buffer.alloc(MIB))],
    ]),
    sockets: new Tls({ ...base, server: keys, client: null }).sockets,
    connectionOpened: (connection) => opened.push(connection),
    ...options,
  })
  await server.start()
  owned.push(() => server.close())
  const port = server.ports[0] as number
  return { server, port, opened, address: `127.0.0.1:${port}` }
}

function client(keys: TlsClientKeys | null): RemotingClient {
  const client = new RemotingClient({ sockets: new Tls({ ...base, server: null, client: keys }).sockets })
  owned.push(() => client.close())
  return client
}

async function echoed(client: RemotingClient, address: string, body = Buffer.from('hello')): Promise<Buffer> {
  const answer = await client.invoke(address, createRequest(ECHO, { a: '1' }, body), 5_000)
  expect(answer.extFields).toEqual({ a: '1' })
  return answer.body as Buffer
}

/** A peer that speaks TLS and otherwise does only what the test makes it do. */
async function rawTls(port: number): Promise<TLSSocket> {
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false })
  socket.on('error', () => {})
  owned.push(() => socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}

describe('the mode', () => {
  const plain = null
  const rows = [
    { mode: 'permissive', keys: plain, served: true },
    { mode: 'permissive', keys: clientKeys(), served: true },
    { mode: 'enforcing', keys: plain, served: false },
    { mode: 'enforcing', keys: clientKeys(), served: true },
    { mode: 'disabled', keys: plain, served: true },
    { mode: 'disabled', keys: clientKeys(), served: false },
  ] as const
  it.each(rows)('$mode, client with $keys: served is $served', async ({ mode, keys, served }) => {
    const { address } = await startServer(serverKeys({ 'tls.server.mode': mode }))
    const asked = echoed(client(keys), address)
    if (served) expect(await asked).toEqual(Buffer.from('hello'))
    else await expect(asked).rejects.toMatchObject({ code: keys === null ? 'CONNECTION_LOST' : 'CONNECT_FAILED' })
  })

  it('permissive without a certificate is plain TCP and nothing else', () => {
    const none = serverKeys({ 'tls.server.keyPath': '', 'tls.server.certPath': '' })
    const { sockets } = new Tls({ ...base, server: none, client: null })
    expect(sockets.createServer).toBe(tcpSockets.createServer)
    expect(sockets.connect).toBe(tcpSockets.connect)
  })
})

describe('certificates of servers', () => {
  it('are checked where tls.client.authServer says so', async () => {
    const { address } = await startServer(serverKeys())
    const trusting = (name: string) =>
      client(clientKeys({ 'tls.client.authServer': true, 'tls.client.trustCertPath': vector(name) }))
    expect(await echoed(trusting('authority.pem'), address)).toEqual(Buffer.from('hello'))
    await expect(echoed(trusting('other.pem'), address)).rejects.toMatchObject({ code: 'CONNECT_FAILED' })
  })

  it('have to be from a public authority where none is named', async () => {
    const { address } = await startServer(serverKeys())
    const strict = client(clientKeys({ 'tls.client.authServer': true }))
    await expect(echoed(strict, address)).rejects.toMatchObject({ code: 'CONNECT_FAILED' })
  })

  it('are made up in test mode', async () => {
    const keys = serverKeys({ 'tls.server.keyPath': '', 'tls.server.certPath': '', 'tls.test.mode.enable': true })
    const { address, port } = await startServer(keys)
    expect(await echoed(client(clientKeys()), address)).toEqual(Buffer.from('hello'))
    const certificate = (await rawTls(port)).getPeerX509Certificate()
    expect(certificate).toMatchObject({ subject: 'CN=localhost', subjectAltName: 'DNS:localhost' })
    expect(certificate?.verify(certificate.publicKey)).toBe(true)
    expect(Date.parse(certificate?.validFrom ?? '')).toBeLessThan(Date.now())
    expect(Date.parse(certificate?.validTo ?? '')).toBeGreaterThan(Date.now())
  })

  it('may have an encrypted key', async () => {
    const keys = { 'tls.server.keyPath': vector('server-encrypted.key'), 'tls.server.keyPassword': 'open-sesame' }
    const { address } = await startServer(serverKeys(keys))
    expect(await echoed(client(clientKeys()), address)).toEqual(Buffer.from('hello'))
  })
})

describe('certificates of clients', () => {
  const own = (name: string) =>
    clientKeys({ 'tls.client.keyPath': vector(`${name}.key`), 'tls.client.certPath': vector(`${name}.pem`) })
  const rows = [
    { need: 'none', isChecked: true, shown: null, served: true },
    { need: 'none', isChecked: true, shown: 'stranger', served: true },
    { need: 'optional', isChecked: true, shown: null, served: true },
    { need: 'optional', isChecked: true, shown: 'client', served: true },
    { need: 'optional', isChecked: true, shown: 'stranger', served: false },
    { need: 'optional', isChecked: false, shown: 'stranger', served: true },
    { need: 'require', isChecked: true, shown: null, served: false },
    { need: 'require', isChecked: true, shown: 'client', served: true },
    { need: 'require', isChecked: true, shown: 'stranger', served: false },
    { need: 'require', isChecked: false, shown: null, served: false },
    { need: 'require', isChecked: false, shown: 'stranger', served: true },
  ] as const
  it.each(rows)('$need, checked $isChecked, shown $shown: served is $served', async (row) => {
    const { address, opened } = await startServer(
      serverKeys({
        'tls.server.need.client.auth': row.need,
        'tls.server.authClient': row.isChecked,
        'tls.server.trustCertPath': vector('authority.pem'),
      }),
    )
    const asking = client(row.shown === null ? clientKeys() : own(row.shown))
    // The second one would go on with the session of the first.
    for (let i = 0; i < 2; i++) {
      const asked = echoed(asking, address)
      if (row.served) expect(await asked).toEqual(Buffer.from('hello'))
      else await expect(asked).rejects.toMatchObject({ code: /^CONNECT/ })
      asking.closeAddress(address)
    }
    if (!row.served) expect(opened).toEqual([])
  })

  it('are asked for among members as soon as there is an authority to check them by', async () => {
    const trust = { 'tls.server.trustCertPath': vector('authority.pem') }
    const members = new Tls({ ...base, server: serverKeys(trust), client: clientKeys() })
    const { address } = await startServer(serverKeys(), { sockets: members.memberSockets })
    await expect(echoed(client(clientKeys()), address)).rejects.toMatchObject({ code: /^CONNECT/ })
    await expect(echoed(client(own('stranger')), address)).rejects.toMatchObject({ code: /^CONNECT/ })
    // A member shows the certificate that it has as a server.
    const member = new RemotingClient({ sockets: members.memberSockets })
    owned.push(() => member.close())
    expect(await echoed(member, address)).toEqual(Buffer.from('hello'))
  })
})

describe('what holds for every connection', () => {
  it('frames of any size come through whole, many at once', async () => {
    const { address } = await startServer(serverKeys())
    const asking = client(clientKeys())
    const bodies = [1, 16_383, 16_384, 16_385, MIB, 5 * MIB].map((bytes) => Buffer.alloc(bytes, bytes % 251))
    const answers = await Promise.all(
      bodies.map((body) => asking.invoke(address, createRequest(ECHO, undefined, body), 10_000)),
    )
    for (const [i, answer] of answers.entries()) {
      expect(Buffer.compare(answer.body as Buffer, bodies[i] as Buffer)).toBe(0)
    }
  })

  it('a peer that does not read is read from no more, then served again', async () => {
    const { port, opened } = await startServer(serverKeys(), { limits: { unwrittenBytesHigh: 4 * MIB } })
    const socket = await rawTls(port)
    const ask = encodeFrames([createRequest(LARGE, undefined)])[0] as Buffer
    socket.write(Buffer.concat(Array.from({ length: 64 }, () => ask)))
    await until(() => opened[0]?.isReadingPaused === true)
    expect(opened[0]?.unwrittenBytes).toBeLessThan(8 * MIB)
    let bytes = 0
    socket.on('data', (chunk: Buffer) => (bytes += chunk.length))
    await until(() => bytes > 64 * MIB)
    expect(opened[0]?.isReadingPaused).toBe(false)
  })

  it('a peer that does not read is closed when too much waits for it', async () => {
    const limits = { unwrittenBytesHigh: Infinity, unwrittenBytesMax: 8 * MIB }
    const { port, opened } = await startServer(serverKeys(), { limits })
    const socket = await rawTls(port)
    const ask = encodeFrames([createRequest(LARGE, undefined)])[0] as Buffer
    while (opened[0]?.isClosed !== true) {
      socket.write(Buffer.concat([ask, ask, ask, ask]))
      await new Promise((resolve) => setImmediate(resolve))
    }
  })

  it('slow peers share one budget: the one for which most waits is closed', async () => {
    const limits = { unwrittenBytesHigh: Infinity }
    const { port, opened } = await startServer(serverKeys(), { limits, unwrittenBytesMax: 16 * MIB })
    const greedy = await rawTls(port)
    const modest = await rawTls(port)
    await until(() => opened.length === 2)
    const ask = encodeFrames([createRequest(LARGE, undefined)])[0] as Buffer
    modest.write(ask)
    while (opened[0]?.isClosed !== true) {
      greedy.write(Buffer.concat([ask, ask, ask, ask]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(opened[1]?.isClosed).toBe(false)
  })

  it('the last answers leave before a server closes', async () => {
    const { server, address } = await startServer(serverKeys())
    const asking = client(clientKeys())
    await echoed(asking, address)
    // More than the kernel takes at once.
    const asked = echoed(asking, address, Buffer.alloc(12 * MIB))
    await until(() => [...server.connections].some((connection) => connection.unwrittenBytes > MIB / 2))
    await server.close()
    expect((await asked).length).toBe(12 * MIB)
  })

  it('a client whose server never ends the handshake is told that nothing was sent', async () => {
    const { server, port } = await rawServer(() => {})
    owned.push(() => server.close())
    const { sockets } = new Tls({ ...base, server: null, client: clientKeys() })
    const hasty = new RemotingClient({ sockets, connectTimeoutMs: 50 })
    owned.push(() => hasty.close())
    await expect(echoed(hasty, `127.0.0.1:${port}`)).rejects.toMatchObject({ code: 'CONNECT_FAILED' })
  })
})
