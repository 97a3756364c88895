/** Certificates on disk: what is wrong is named, and what is replaced is taken without a restart. */
import { type Logger, silentLogger, systemClock } from '@dledger-ts/base'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RemotingError } from '../errors.ts'
import { RemotingServer } from '../server.ts'
import { clientKeys, serverKeys, vector } from '../testing/certificates.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { CertificateFiles } from './certificate-files.ts'
import type { TlsClientKeys, TlsServerKeys } from './keys.ts'
import { Tls } from './tls.ts'

let folder = ''
const owned: (() => unknown)[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tls-'))
})
afterEach(async () => {
  for (const close of owned.splice(0).reverse()) await close()
  rmSync(folder, { recursive: true })
})

const base = { clock: systemClock, logger: silentLogger }

describe('a file that cannot be used stops the start and is named', () => {
  const bad = (): string => {
    const path = join(folder, 'bad')
    writeFileSync(path, '-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n')
    return path
  }
  const rows: { keys: () => Partial<TlsServerKeys>; key: string; message: RegExp }[] = [
    { keys: () => ({ 'tls.server.keyPath': '/no/key' }), key: 'tls.server.keyPath', message: /cannot be read: ENOENT/ },
    { keys: () => ({ 'tls.server.certPath': '/no' }), key: 'tls.server.certPath', message: /cannot be read: ENOENT/ },
    { keys: () => ({ 'tls.server.keyPath': '' }), key: 'tls.server.certPath', message: /keyPath, which is missing/ },
    { keys: () => ({ 'tls.server.certPath': '' }), key: 'tls.server.keyPath', message: /certPath, which is missing/ },
    { keys: () => ({ 'tls.server.keyPath': bad() }), key: 'tls.server.keyPath', message: /no private key in PEM/ },
    {
      keys: () => ({ 'tls.server.certPath': bad() }),
      key: 'tls.server.certPath',
      message: /certificate 1 of it is none/,
    },
    {
      keys: () => ({ 'tls.server.certPath': vector('server.key') }),
      key: 'tls.server.certPath',
      message: /no certificate in PEM/,
    },
    {
      keys: () => ({ 'tls.server.keyPath': vector('client.key') }),
      key: 'tls.server.certPath',
      message: /is not for the key in .*client\.key/,
    },
    {
      keys: () => ({ 'tls.server.keyPath': vector('server-encrypted.key') }),
      key: 'tls.server.keyPath',
      message: /tls\.server\.keyPassword is missing/,
    },
    {
      keys: () => ({ 'tls.server.keyPath': vector('server-encrypted.key'), 'tls.server.keyPassword': 'wrong' }),
      key: 'tls.server.keyPath',
      message: /tls\.server\.keyPassword does not open it/,
    },
    { keys: () => ({ 'tls.server.trustCertPath': '/no' }), key: 'tls.server.trustCertPath', message: /ENOENT/ },
    { keys: () => ({ 'tls.server.trustCertPath': bad() }), key: 'tls.server.trustCertPath', message: /is none/ },
    {
      keys: () => ({ 'tls.server.mode': 'enforcing', 'tls.server.keyPath': '', 'tls.server.certPath': '' }),
      key: 'tls.server.certPath',
      message: /tls\.server\.mode=enforcing needs it/,
    },
  ]
  it.each(rows)('$key: $message', ({ keys, key, message }) => {
    const server = serverKeys(keys())
    const path = server[key as keyof TlsServerKeys]
    const making = (): Tls => new Tls({ ...base, server, client: null })
    expect(making).toThrow(RemotingError)
    expect(making).toThrow(message)
    expect(making).toThrow(`${key}=${path}: `)
    expect(making).not.toThrow(/wrong/)
  })

  it('also on the side that dials', () => {
    const keys: Partial<TlsClientKeys> = { 'tls.client.trustCertPath': '/no/authority.pem' }
    for (const server of [null, serverKeys()]) {
      const making = (): Tls => new Tls({ ...base, server, client: clientKeys(keys) })
      expect(making).toThrow(/^tls\.client\.trustCertPath=\/no\/authority\.pem: it cannot be read: ENOENT/)
    }
  })

  it('but not where it is not used', () => {
    const server = serverKeys({ 'tls.server.mode': 'disabled', 'tls.server.keyPath': '/no/key' })
    const client = clientKeys({ 'tls.enable': false, 'tls.client.keyPath': '/no/key' })
    expect(() => new Tls({ ...base, server, client })).not.toThrow()
  })
})

describe('files that change', () => {
  async function servedFrom(paths: { key: string; cert: string }) {
    const clock = new ManualClock()
    const told: string[] = []
    const tell = (_fields: unknown, event: string): void => {
      if (/certificate/.test(event)) told.push(event)
    }
    const logger: Logger = { debug: tell, info: tell, warn: tell, error: tell }
    const keys = serverKeys({ 'tls.server.keyPath': paths.key, 'tls.server.certPath': paths.cert })
    const tls = new Tls({ server: keys, client: null, clock, logger })
    tls.start()
    owned.push(() => tls.close())
    const server = new RemotingServer({ host: '127.0.0.1', ports: [0, 0], processors: new Map(), sockets: tls.sockets })
    await server.start()
    owned.push(() => server.close())
    const shown = async (): Promise<string[]> => {
      const names: string[] = []
      for (const port of server.ports) {
        const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
        await once(socket, 'secureConnect')
        names.push(socket.getPeerX509Certificate()?.subject ?? '')
        socket.destroy()
      }
      return names
    }
    return { clock, told, shown, tls }
  }

  const inFolder = (): { key: string; cert: string } => ({ key: join(folder, 'key'), cert: join(folder, 'cert') })

  it('are taken on every port, once both are there', async () => {
    const paths = inFolder()
    copyFileSync(vector('server.key'), paths.key)
    copyFileSync(vector('server.pem'), paths.cert)
    const { clock, told, shown } = await servedFrom(paths)
    expect(await shown()).toEqual(['CN=server', 'CN=server'])
    copyFileSync(vector('renewed.key'), paths.key)
    clock.advance(5_000)
    expect(told).toEqual(['new certificates cannot be used; the former ones stay'])
    expect(await shown()).toEqual(['CN=server', 'CN=server'])
    clock.advance(60_000)
    expect(told).toHaveLength(1)
    copyFileSync(vector('renewed.pem'), paths.cert)
    clock.advance(5_000)
    expect(told.at(-1)).toBe('new certificates are in use')
    expect(await shown()).toEqual(['CN=renewed', 'CN=renewed'])
  })

  it('stay as they were when the new ones are broken or gone', async () => {
    const paths = inFolder()
    copyFileSync(vector('server.key'), paths.key)
    copyFileSync(vector('server.pem'), paths.cert)
    const { clock, told, shown } = await servedFrom(paths)
    const breaks = [() => writeFileSync(paths.cert, 'nothing'), () => rmSync(paths.cert), () => rmSync(paths.key)]
    for (const [i, breakIt] of breaks.entries()) {
      breakIt()
      clock.advance(5_000)
      expect(told).toEqual(Array(i + 1).fill('new certificates cannot be used; the former ones stay'))
      expect(await shown()).toEqual(['CN=server', 'CN=server'])
    }
  })

  it('that cannot even be looked at for a while are told once, and are taken when they can', async () => {
    const paths = inFolder()
    copyFileSync(vector('server.key'), paths.key)
    copyFileSync(vector('server.pem'), paths.cert)
    const { clock, told, shown } = await servedFrom(paths)
    rmSync(paths.cert)
    symlinkSync('cert', paths.cert)
    for (let look = 0; look < 3; look++) clock.advance(5_000)
    expect(told).toEqual(['new certificates cannot be used; the former ones stay'])
    rmSync(paths.cert)
    copyFileSync(vector('renewed.key'), paths.key)
    copyFileSync(vector('renewed.pem'), paths.cert)
    clock.advance(5_000)
    expect(told.slice(1)).toEqual(['new certificates are in use'])
    expect(await shown()).toEqual(['CN=renewed', 'CN=renewed'])
  })

  it('that whoever uses them does not take are tried again, and told once', async () => {
    const paths = inFolder()
    copyFileSync(vector('server.key'), paths.key)
    copyFileSync(vector('server.pem'), paths.cert)
    const clock = new ManualClock()
    const told: string[] = []
    const tell = (_fields: unknown, event: string): void => void told.push(event)
    const logger: Logger = { ...silentLogger, info: tell, error: tell }
    const pemPaths = { side: 'tls.server', keyPath: paths.key, keyPassword: '', certPath: paths.cert } as const
    const files = new CertificateFiles({ ...pemPaths, trustCertPath: '' }, clock, logger)
    owned.push(() => files.close())
    let failures = 2
    files.onChange(() => {
      if (failures-- > 0) throw new Error('no memory')
    })
    files.watch()
    const before = files.options
    copyFileSync(vector('renewed.key'), paths.key)
    copyFileSync(vector('renewed.pem'), paths.cert)
    clock.advance(5_000)
    clock.advance(5_000)
    expect(told).toEqual(['new certificates cannot be used; the former ones stay'])
    expect(files.options).toBe(before)
    clock.advance(5_000)
    expect(told.slice(1)).toEqual(['new certificates are in use'])
  })

  it('are seen behind links that are turned', async () => {
    for (const name of ['server', 'renewed']) {
      copyFileSync(vector(`${name}.key`), join(folder, `${name}.key`))
      copyFileSync(vector(`${name}.pem`), join(folder, `${name}.pem`))
    }
    const paths = inFolder()
    const turnTo = (name: string): void => {
      for (const [link, file] of [
        [paths.key, `${name}.key`],
        [paths.cert, `${name}.pem`],
      ] as const) {
        symlinkSync(file, `${link}.new`)
        renameSync(`${link}.new`, link)
      }
    }
    turnTo('server')
    const { clock, shown } = await servedFrom(paths)
    turnTo('renewed')
    clock.advance(5_000)
    expect(await shown()).toEqual(['CN=renewed', 'CN=renewed'])
  })

  it('are not looked at any more once it is closed', async () => {
    const paths = inFolder()
    copyFileSync(vector('server.key'), paths.key)
    copyFileSync(vector('server.pem'), paths.cert)
    const { clock, tls } = await servedFrom(paths)
    tls.close()
    expect(clock.timerCount).toBe(0)
  })

  it('tell that they are no longer valid', () => {
    const told: unknown[] = []
    const logger: Logger = { ...silentLogger, error: (fields, event) => void told.push([fields['validTo'], event]) }
    const clock = { ...systemClock, nowMs: () => Date.parse('2200-01-01') }
    expect(() => new Tls({ server: serverKeys(), client: null, clock, logger })).not.toThrow()
    expect(told).toEqual([[expect.stringMatching(/^21\d\d-/), 'a certificate is no longer valid']])
  })
})
