/** A broker that is starting. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger } from '@dledger-ts/base'
import { freePorts } from '@dledger-ts/dledger/internals'
import { type Connection, createRequest, RequestCode } from '@dledger-ts/remoting'
import { MessageStore } from '@dledger-ts/store'
import { expect, test, vi } from 'vitest'
import { Broker } from './broker.ts'
import { startingProcessors } from './starting.ts'
import { brokerConfig } from './testing/broker-fixture.ts'

test('a request while the store is being opened is answered 14', () => {
  const processors = startingProcessors()
  for (const code of Object.values(RequestCode)) {
    const answer = processors.get(code)?.({} as Connection, createRequest(code, {}))
    expect(answer).toMatchObject({ code: 14, remark: 'this broker is starting' })
  }
})

test('a store that was being opened when the broker was closed does not stay open', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'broker-starting-'))
  try {
    const open = MessageStore.open.bind(MessageStore)
    const broker = new Broker(brokerConfig(directory))
    vi.spyOn(MessageStore, 'open').mockImplementationOnce(async (given) => {
      const store = await open(given)
      await broker.close()
      return store
    })
    await broker.start()
    expect(broker.store).toBeNull()
    const next = new Broker(brokerConfig(directory))
    await next.start()
    await next.close()
  } finally {
    vi.restoreAllMocks()
    await rm(directory, { recursive: true, force: true })
  }
})

test('a master that anybody may copy says so once', async () => {
  const credentials = JSON.stringify({ accessKey: 'inner', secretKey: 'secret of it' })
  const warnings = async (keys: Record<string, string>): Promise<string[]> => {
    const told: string[] = []
    const warn = (_fields: object, text: string): void => void told.push(text)
    const directory = await mkdtemp(join(tmpdir(), 'broker-starting-'))
    const [haListenPort = 0] = await freePorts(1)
    const config = brokerConfig(directory, { haListenPort: String(haListenPort), ...keys })
    const broker = new Broker(config, { logger: { ...silentLogger, warn } })
    try {
      await broker.start()
    } finally {
      await broker.close()
      await rm(directory, { recursive: true, force: true })
    }
    return told.filter((text) => text.includes('may copy'))
  }
  expect(await warnings({ brokerRole: 'ASYNC_MASTER' })).toHaveLength(1)
  const closed = { brokerRole: 'ASYNC_MASTER', innerClientAuthenticationCredentials: credentials }
  expect(await warnings(closed)).toEqual([])
  expect(await warnings({})).toEqual([])
})

test('what a slave has stored is not taken for an empty store where brokerRole is left out later', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'broker-starting-'))
  try {
    await mkdir(join(directory, 'commitlog', 'dledger-s7', 'data'), { recursive: true })
    await mkdir(join(directory, 'metadata'))
    await writeFile(join(directory, 'metadata', 'kept'), '')
    const broker = new Broker(brokerConfig(directory))
    await expect(broker.start()).rejects.toMatchObject({ code: 'INVALID_CONFIG', detail: { key: 'brokerRole' } })
    expect(await readdir(join(directory, 'commitlog'))).toEqual(['dledger-s7'])
    expect(await readdir(join(directory, 'metadata'))).toEqual(['kept'])
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

test.each(['commitlog/dledger-n0', 'dledger-n0'])('a store of its own is opened as it is: %s', async (log) => {
  const directory = await mkdtemp(join(tmpdir(), 'broker-starting-'))
  try {
    await mkdir(join(directory, log, 'data'), { recursive: true })
    const broker = new Broker(brokerConfig(directory))
    await broker.start()
    expect(broker.status()).toMatchObject({ id: 'n0', role: 'LEADER' })
    await broker.close()
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
