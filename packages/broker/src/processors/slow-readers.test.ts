/** Clients that ask for more than they take: what waits for them is bounded, and they lose nothing by it. */
import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { createRequest, decodeCommand, encodeFrames, type RemotingCommand, RequestCode } from '@dledger-ts/remoting'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Fixture, pullFields, startBroker, TestClient } from '../testing/broker-fixture.ts'
import { UNTAKEN_BYTES_MAX } from './pull.ts'

const BODY_BYTES = 1_000_000
const MESSAGES = 8
const ASKED = 60
/** What the kernel takes on both sides comes on top of what the broker keeps. */
const KERNEL_BYTES_MAX = 16 * 1024 * 1024

let fixture: Fixture
let client: TestClient
let slow: Socket

beforeAll(async () => {
  fixture = await startBroker()
  client = new TestClient(fixture.broker.address)
  for (let i = 0; i < MESSAGES; i++) expect((await client.send('x'.repeat(BODY_BYTES))).code).toBe(0)
  slow = await rawConnection()
})

afterAll(async () => {
  slow.destroy()
  client.close()
  await fixture.close()
})

async function rawConnection(): Promise<Socket> {
  const [host = '', port = ''] = fixture.broker.address.split(':')
  const socket = connect({ host, port: Number(port) })
  await once(socket, 'connect')
  socket.pause()
  return socket
}

function write(socket: Socket, requests: readonly RemotingCommand[]): void {
  for (const [i, request] of requests.entries()) request.opaque = i
  socket.write(Buffer.concat(encodeFrames(requests)))
}

/** Reads until so many answers are there. */
async function answersOf(socket: Socket, count: number): Promise<RemotingCommand[]> {
  const chunks: Buffer[] = []
  const answers: RemotingCommand[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.resume()
  let at = 0
  while (answers.length < count) {
    await once(socket, 'data')
    const bytes = Buffer.concat(chunks)
    while (bytes.length - at >= 4 && bytes.length - at >= 4 + bytes.readUInt32BE(at)) {
      const end = at + 4 + bytes.readUInt32BE(at)
      answers.push(decodeCommand(bytes, at + 4, end))
      at = end
    }
  }
  socket.removeAllListeners('data')
  return answers
}

test('who asks for more messages than it takes is told to ask again, at the same offset, behind what waits for it', async () => {
  const asked = (i: number) => String(i % MESSAGES)
  const pulls = Array.from({ length: ASKED }, (_, i) =>
    createRequest(RequestCode.PULL_MESSAGE, { ...pullFields(), queueOffset: asked(i), maxMsgNums: '1' }),
  )
  write(slow, pulls)
  // Another client is served meanwhile.
  expect((await client.pull()).code).toBe(0)
  const answers = await answersOf(slow, ASKED)
  const refused = answers.filter(({ code }) => code === 20)
  const given = answers.filter(({ code }) => code === 0)
  expect(given.length + refused.length).toBe(ASKED)
  expect(refused.length).toBeGreaterThan(0)
  expect(given.length * BODY_BYTES).toBeLessThan(UNTAKEN_BYTES_MAX + KERNEL_BYTES_MAX)
  for (const answer of refused) {
    expect(answer.remark).toBe('more waits for this client than it takes')
    expect(answer.extFields).toMatchObject({ nextBeginOffset: asked(answer.opaque), minOffset: '0', maxOffset: '8' })
  }
  write(slow, pulls.slice(0, 1))
  expect((await answersOf(slow, 1)).map(({ code }) => code)).toEqual([0])
})

test('a pop of such a client takes no messages: 210', async () => {
  const pull = () => createRequest(RequestCode.PULL_MESSAGE, { ...pullFields(), maxMsgNums: '1' })
  const pop = createRequest(RequestCode.POP_MESSAGE, {
    consumerGroup: 'slow',
    topic: 'T',
    queueId: '0',
    maxMsgNums: '1',
    invisibleTime: '60000',
    pollTime: '15000',
    bornTime: String(Date.now()),
    initMode: '0',
    exp: '*',
    expType: 'TAG',
  })
  slow.pause()
  write(slow, [...Array.from({ length: ASKED }, pull), pop])
  const answers = await answersOf(slow, ASKED + 1)
  const answer = answers.find(({ opaque }) => opaque === ASKED)
  expect([answer?.code, answer?.remark]).toEqual([210, 'more waits for this client than it takes'])
})
