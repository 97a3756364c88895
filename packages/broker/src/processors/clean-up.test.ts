/** What Apache's tools ask to be cleaned at once: what is old enough goes outside its hours, the rest is clean already. */
import { readdirSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { RequestCode, ResponseCode } from '@dledger-ts/remoting'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Fixture, startBroker, TestClient } from '../testing/broker-fixture.ts'

const FILE_BYTES = 1024 * 1024
const BODY_BYTES = 60_000

let fixture: Fixture
let client: TestClient

beforeAll(async () => {
  const otherHours = Array.from({ length: 22 }, (_, i) => (new Date().getHours() + 2 + i) % 24)
  fixture = await startBroker({
    mappedFileSizeCommitLog: String(FILE_BYTES),
    maxMessageSize: '65536',
    fileReservedTime: '1',
    deleteWhen: otherHours.join(';'),
    diskMaxUsedSpaceRatio: '95',
    cleanFileForciblyEnable: 'false',
  })
  client = new TestClient(fixture.broker.address)
})
afterAll(async () => {
  client.close()
  await fixture.close()
})

const files = (): string[] => {
  const root = join(fixture.directory, 'commitlog')
  const data = join(root, readdirSync(root)[0] as string, 'data')
  return readdirSync(data).map((name) => join(data, name))
}

test(
  'log files that are old enough go when a tool says so, outside the hours that are set',
  { timeout: 60_000 },
  async () => {
    while (files().length < 4) await client.send('x'.repeat(BODY_BYTES))
    const twoHoursAgo = Date.now() / 1000 - 2 * 3_600
    const [first, second] = files() as [string, string]
    for (const file of [first, second]) utimesSync(file, twoHoursAgo, twoHoursAgo)
    expect((await client.call(RequestCode.DELETE_EXPIRED_COMMITLOG)).code).toBe(ResponseCode.SUCCESS)
    await expect.poll(files, { timeout: 50_000 }).not.toContain(second)
    expect(files()).toHaveLength(2)
  },
)

test.each([RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE, RequestCode.CLEAN_UNUSED_TOPIC])(
  'what request %i asks for is done already',
  async (code) => {
    expect((await client.call(code)).code).toBe(ResponseCode.SUCCESS)
  },
)
