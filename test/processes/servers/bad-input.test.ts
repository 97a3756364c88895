/** What people get wrong, on real servers: one clear line that names what and where, exit status 1, nothing changed on disk. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { logDirectory, readEntries, readFiles } from '../group/log-files.ts'
import { type Ended } from '../group/server-process.ts'
import { untilTrue } from '../group/until.ts'
import { digest, errorLines, LOG_FILE_BYTES, loneBroker, type Settings, Workplace } from './single-server.ts'

const TIMEOUT_MS = 60_000

let workplace: Workplace

beforeEach(() => {
  workplace = new Workplace()
})

afterEach(async () => {
  await workplace.close()
})

/** One line, exit status 1, and the line has all these words. */
function expectRefused(ended: Ended, ...words: string[]): void {
  const lines = errorLines(ended)
  expect(ended.status, ended.stderr).toBe(1)
  expect(lines, ended.stderr).toHaveLength(1)
  for (const word of words) expect(lines[0]).toContain(word)
}

async function listening(port: number): Promise<Server> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return server
}

describe('a bad value is named with its key and what is allowed', { timeout: TIMEOUT_MS }, () => {
  const group = 'n0-127.0.0.1:40911;n1-127.0.0.1:40912'
  const rows: { given: Settings; key: string; allowed: string }[] = [
    { given: { listenPort: 70_000 }, key: 'listenPort', allowed: '65535' },
    { given: { listenPort: 'ten' }, key: 'listenPort', allowed: '65535' },
    { given: { flushDiskType: 'SOMETIMES' }, key: 'flushDiskType', allowed: 'ASYNC_FLUSH' },
    { given: { autoCreateTopicEnable: 'perhaps' }, key: 'autoCreateTopicEnable', allowed: 'true' },
    { given: { namesrvAddr: 'nowhere' }, key: 'namesrvAddr', allowed: ':' },
    { given: { enableDLegerCommitLog: 'true', dLegerPeers: 'n0=here' }, key: 'dLegerPeers', allowed: 'ID-HOST:PORT' },
    {
      given: { enableDLegerCommitLog: 'true', dLegerPeers: group, dLegerSelfId: 'n7' },
      key: 'dLegerSelfId',
      allowed: 'n0, n1',
    },
    { given: { 'tls.server.certPath': '/no/cert.pem' }, key: 'tls.server.certPath', allowed: 'tls.server.keyPath' },
    {
      given: { 'tls.client.trustCertPath': '/no.pem', 'tls.enable': 'true' },
      key: 'tls.client.trustCertPath',
      allowed: 'ENOENT',
    },
    { given: { 'tls.config.file': '/no/tls.properties' }, key: 'tls.config.file', allowed: 'ENOENT' },
    { given: { mappedFileSizeCommitLog: 100_000 }, key: 'mappedFileSizeCommitLog', allowed: 'maxMessageSize' },
  ]
  test.each(rows)('mqbroker with $given', async ({ given, key, allowed }) => {
    const settings = { ...(await loneBroker(workplace)), ...given }
    const ended = await workplace.runToEnd('mqbroker', ['-c', workplace.configuration('broker.conf', settings)])
    expectRefused(ended, key, String(given[key]), allowed)
    expect(existsSync(workplace.path('store'))).toBe(false)
  })

  test('mqnamesrv with a bad port, in its file and on its command line', async () => {
    const conf = workplace.configuration('namesrv.conf', { listenPort: 'x' })
    expectRefused(await workplace.runToEnd('mqnamesrv', ['-c', conf]), 'listenPort', 'x')
    expectRefused(await workplace.runToEnd('mqnamesrv', ['--port', '99999']), '99999', 'from 0 to 65535')
    expectRefused(await workplace.runToEnd('mqnamesrv', ['--bogus']), 'mqnamesrv: unknown option')
  })

  test('a configuration file that is not there', async () => {
    for (const program of ['mqbroker', 'mqnamesrv'] as const) {
      expectRefused(await workplace.runToEnd(program, ['-c', workplace.path('absent.conf')]), 'absent.conf')
    }
  })
})

describe('an unknown key', { timeout: TIMEOUT_MS }, () => {
  test.each([
    { program: 'mqbroker', key: 'flushDiscType', value: 'ASYNC_FLUSH', nearest: 'flushDiskType' },
    { program: 'mqnamesrv', key: 'listenport', value: '9876', nearest: 'listenPort' },
  ] as const)('$program warns of $key and names the nearest one', async ({ program, key, value, nearest }) => {
    const ended = await workplace.runToEnd(program, ['-p', '-c', workplace.configuration('conf', { [key]: value })])
    expect(ended.status).toBe(0)
    const warnings = ended.stderr.split('\n').filter((line) => line.includes(key))
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain(nearest)
    expect(ended.stdout).toMatch(/^listenPort=\d+$/m)
  })
})

describe('a busy port', { timeout: TIMEOUT_MS }, () => {
  test.each([
    { name: 'of the broker', key: 'listenPort', away: 0 },
    { name: 'two below that of the broker', key: 'listenPort', away: -2 },
    { name: 'of /status', key: 'metricsPromExporterPort', away: 0 },
  ])('$name', async ({ key, away }) => {
    const settings = await loneBroker(workplace)
    const port = Number(settings[key]) + away
    const occupant = await listening(port)
    try {
      const ended = await workplace.runToEnd('mqbroker', ['-c', workplace.configuration('broker.conf', settings)])
      expectRefused(ended, String(port))
    } finally {
      occupant.close()
    }
  })

  test('of the namesrv', async () => {
    const { listenPort = 0, metricsPromExporterPort = 0 } = await loneBroker(workplace)
    const occupant = await listening(Number(listenPort))
    try {
      const conf = workplace.configuration('namesrv.conf', { metricsPromExporterPort })
      const ended = await workplace.runToEnd('mqnamesrv', ['--port', String(listenPort), '-c', conf])
      expectRefused(ended, String(listenPort))
    } finally {
      occupant.close()
    }
  })
})

describe('a store that this broker must not touch', { timeout: TIMEOUT_MS }, () => {
  /** Makes a store, changes something, and expects a second start to refuse without changing anything. */
  async function refusedAfter(change: (store: string, settings: Settings) => Settings): Promise<Ended> {
    const settings = await loneBroker(workplace)
    const server = await workplace.broker(settings)
    expect((await server.stop()).status).toBe(0)
    const store = workplace.path('store')
    const changed = change(store, settings)
    const before = digest(store)
    const ended = await workplace.runToEnd('mqbroker', ['-c', workplace.configuration('broker.conf', changed)])
    expect(digest(store)).toEqual(before)
    return ended
  }

  test('in use by another process', async () => {
    const settings = await loneBroker(workplace)
    const server = await workplace.broker(settings)
    const other = { ...(await loneBroker(workplace)), storePathRootDir: settings['storePathRootDir'] as string }
    const ended = await workplace.runToEnd('mqbroker', ['-c', workplace.configuration('other.conf', other)])
    expectRefused(ended, workplace.path('store'), 'in use')
    expect(server.runs).toBe(true)
    expect((await server.stop()).status).toBe(0)
  })

  test('made with another file size', async () => {
    const ended = await refusedAfter((_store, settings) => ({
      ...settings,
      mappedFileSizeCommitLog: 2 * LOG_FILE_BYTES,
    }))
    expectRefused(ended, String(2 * LOG_FILE_BYTES), String(LOG_FILE_BYTES))
  })

  test('made by a member of another name', async () => {
    const ended = await refusedAfter((_store, settings) => ({ ...settings, dLegerGroup: 'strangers' }))
    expectRefused(ended, 'strangers', 'lone')
  })

  test.each([
    { name: 'the header', at: 40 },
    { name: 'the body', at: 60 },
  ])('with a flipped bit in $name of its last entry is told of, and not cut', async ({ at }) => {
    const settings = await loneBroker(workplace)
    expect((await (await workplace.broker(settings)).stop()).status).toBe(0)
    const directory = logDirectory(workplace.path('store'))
    const last = readEntries(readFiles(directory, 'data')).entries.at(-1)
    const file = join(directory, 'data', '00000000000000000000')
    const bytes = readFileSync(file)
    const flipped = (last?.pos ?? 0) + at
    bytes[flipped] = (bytes[flipped] as number) ^ 1
    writeFileSync(file, bytes)
    const server = workplace.launch('mqbroker', ['-c', workplace.path('broker.conf')])
    await untilTrue('the damage is told', TIMEOUT_MS, async () => server.stderr.includes('damaged'))
    expect(server.stderr).toContain('00000000000000000000')
    await server.stop()
    expect(readFileSync(file)[flipped]).toBe(bytes[flipped])
  })

  test('without readable hard state', async () => {
    const ended = await refusedAfter((store, settings) => {
      writeFileSync(hardState(store), Buffer.alloc(8192))
      return settings
    })
    expectRefused(ended, 'hard-state')
  })

  test('of a newer format', async () => {
    const ended = await refusedAfter((store, settings) => {
      writeFileSync(hardState(store), ofVersion(99, readFileSync(hardState(store))))
      return settings
    })
    expectRefused(ended, 'hard-state', '99')
  })
})

function hardState(store: string): string {
  const directory = logDirectory(store)
  const name = readdirSync(directory).find((each) => each.startsWith('hard-state'))
  if (name === undefined) throw new Error(`no hard state in ${directory}`)
  return join(directory, name)
}

/**
 * Both slots of 4096 bytes as a later version would write them: | magic 4 | version 4 | sequence 8 | size 4 | crc 4 | content |,
 * the crc over what stands before it and the content.
 */
function ofVersion(version: number, bytes: Buffer): Buffer {
  for (const at of [0, 4096]) {
    const slot = bytes.subarray(at, at + 4096)
    if (slot.readUInt32BE(0) === 0) continue
    slot.writeUInt32BE(version, 4)
    const content = slot.subarray(24, 24 + slot.readUInt32BE(16))
    slot.writeUInt32BE(crc32(content, crc32(slot.subarray(0, 20))), 20)
  }
  return bytes
}
