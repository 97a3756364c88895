/** A broker that is starting. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Connection, createRequest, RequestCode } from '@dledger-ts/remoting'
import { expect, test } from 'vitest'
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
