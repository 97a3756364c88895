/**
 * Readers of a backlog in a process of their own: each pulls one queue after the other from its member, from the first message that there is, over and over.
 *
 * Told what to do by its first argument; says what it has read when it is asked, and ends when its parent does.
 */
import {
  PullMessageRequest,
  PullMessageResponse,
  PullSysFlag,
  RemotingClient,
  RemotingError,
  ResponseCode,
} from '@dledger-ts/remoting'

export interface ColdWish {
  /** A reader for each, in turn. */
  readonly addresses: readonly string[]
  readonly readers: number
  readonly topic: string
  readonly queues: number
}

export interface ColdRead {
  readonly messages: number
  readonly bytes: number
  readonly refused: number
}

const PULL_MESSAGES = 32
const TIMEOUT_MS = 30_000
/** After an answer that brought nothing, so that an empty queue is no busy loop. */
const PAUSE_MS = 20

/** What has a place to go on at; all else, as a broker that is busy, is tried again. */
const ANSWERS: ReadonlySet<number> = new Set([
  ResponseCode.SUCCESS,
  ResponseCode.PULL_NOT_FOUND,
  ResponseCode.PULL_RETRY_IMMEDIATELY,
  ResponseCode.PULL_OFFSET_MOVED,
])

const wish = JSON.parse(process.argv[2] ?? '{}') as ColdWish
const client = new RemotingClient()
const total = { messages: 0, bytes: 0, refused: 0 }
process.on('message', () => process.send?.({ read: total }))
process.on('disconnect', () => process.exit())
for (let reader = 0; reader < wish.readers; reader++) void read(reader)

async function read(reader: number): Promise<never> {
  const address = wish.addresses[reader % wish.addresses.length] as string
  for (let queueId = reader % wish.queues; ; queueId = (queueId + 1) % wish.queues) {
    await readQueue(address, queueId, `bench-cold-${reader}`)
  }
}

/** To where the queue ended when it was begun. */
async function readQueue(address: string, queueId: number, consumerGroup: string): Promise<void> {
  let end = Infinity
  for (let offset = 0; offset < end;) {
    const answer = await client
      .invoke(address, request(queueId, offset, consumerGroup), TIMEOUT_MS)
      .catch((error: unknown) => {
        if (error instanceof RemotingError) return null
        throw error
      })
    if (answer === null || !ANSWERS.has(answer.code)) {
      if (total.refused++ === 0) console.error(`a pull was refused: ${answer?.code} ${answer?.remark ?? ''}`)
      await pause()
      continue
    }
    const { nextBeginOffset, maxOffset } = PullMessageResponse.decode(answer.extFields)
    if (end === Infinity) end = maxOffset
    if (answer.code === ResponseCode.SUCCESS) {
      total.messages += nextBeginOffset - offset
      total.bytes += answer.body?.length ?? 0
    } else {
      await pause()
      if (nextBeginOffset <= offset) return
    }
    offset = nextBeginOffset
  }
}

function request(
  queueId: number,
  queueOffset: number,
  consumerGroup: string,
): ReturnType<typeof PullMessageRequest.request> {
  return PullMessageRequest.request({
    consumerGroup,
    topic: wish.topic,
    queueId,
    queueOffset,
    maxMsgNums: PULL_MESSAGES,
    sysFlag: PullSysFlag.SUBSCRIPTION,
    commitOffset: 0,
    suspendTimeoutMillis: 0,
    subscription: '*',
    subVersion: 0,
    expressionType: 'TAG',
  })
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
}
