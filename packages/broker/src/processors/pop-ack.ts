/**
 * What becomes of popped messages: ACK_MESSAGE (200051), BATCH_ACK_MESSAGE (200151), CHANGE_MESSAGE_INVISIBLETIME (200053).
 *
 * Keeps:
 *   A1  an answer 0 to an acknowledgement means that the message never comes again: the log has it;
 *   A2  a message that is not in flight under the handle that is named, since it was acknowledged or came again, is no fault of
 *       the client that asks: 0 as Apache's answers. That is certain first: a leader that others have replaced without its knowing lacks
 *       what they popped.
 *
 * Source: AckMessageProcessor, ChangeInvisibleTimeProcessor.
 */
import {
  AckMessageRequest,
  type BatchAck,
  ChangeInvisibleTimeRequest,
  ChangeInvisibleTimeResponse,
  type Connection,
  createResponse,
  decodeBatchAck,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import type { BrokerContext } from '../context.ts'
import { illegalQueue, type Refused, topicNotExist } from '../pop/admission.ts'
import { INVISIBLE_MS_MAX, ORDER_REVIVE_QID, parseExtraInfo } from '../pop/extra-info.ts'
import type { PopQueue } from '../pop/pop-queues.ts'
import { realTopic } from '../pop/retry-topics.ts'
import type { Processor } from './registry.ts'

export interface PopAckOptions {
  /** Something is invisible until then. */
  readonly popped: (untilMs: number) => void
  /** The queue may give out more in order. */
  readonly unblocked: (group: string, queue: PopQueue) => void
}

interface Named extends PopQueue {
  readonly consumerGroup: string
}

export function popAckProcessors(context: BrokerContext, options: PopAckOptions): [number, Processor][] {
  const acks = new PopAcks(context, options)
  return [
    [RequestCode.ACK_MESSAGE, { served: 'leader', handle: (connection, request) => acks.ack(connection, request) }],
    [RequestCode.BATCH_ACK_MESSAGE, { served: 'leader', handle: (_connection, request) => acks.batchAck(request) }],
    [
      RequestCode.CHANGE_MESSAGE_INVISIBLETIME,
      { served: 'leader', handle: (connection, request) => acks.changeInvisible(connection, request) },
    ],
  ]
}

class PopAcks {
  readonly #context: BrokerContext
  readonly #options: PopAckOptions

  constructor(context: BrokerContext, options: PopAckOptions) {
    this.#context = context
    this.#options = options
  }

  async ack(connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const header = AckMessageRequest.decode(request.extFields)
    const { store } = this.#context
    const fault =
      this.#queueFault(header, connection) ?? this.#offsetFault(header, store.maxOffset(header.topic, header.queueId))
    if (fault !== null) return createResponse(fault.code, fault.remark)
    const { popTime, invisibleTime, reviveQid } = parseExtraInfo(header.extraInfo, request.code)
    const { topic, queueId, offset, consumerGroup: group } = header
    if (reviveQid === ORDER_REVIVE_QID) return this.#ackInOrder(header, [offset], popTime)
    const handle = { group, topic, queueId, queueOffset: offset, untilMs: popTime + invisibleTime }
    await this.#certain([() => store.pops.acknowledge(handle)])
    return createResponse(ResponseCode.SUCCESS)
  }

  async batchAck(request: RemotingCommand): Promise<RemotingCommand> {
    const { acks } = decodeBatchAck(request.bodyBytes)
    if (acks.length === 0) return createResponse(ResponseCode.NO_MESSAGE, 'nothing is acknowledged')
    const caughtUp = this.#asking()
    const answers = await Promise.all(acks.map((ack) => this.#ackMany(ack, caughtUp)))
    return answers.find(({ code }) => code !== ResponseCode.SUCCESS) ?? createResponse(ResponseCode.SUCCESS)
  }

  async changeInvisible(connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const header = ChangeInvisibleTimeRequest.decode(request.extFields)
    const { store, clock } = this.#context
    const { topic, queueId, offset: queueOffset, consumerGroup: group, invisibleTime } = header
    const fault = this.#queueFault(header, connection) ?? this.#offsetFault(header, store.maxOffset(topic, queueId) - 1)
    if (fault !== null) return refusedChange(fault)
    if (invisibleTime < 0 || invisibleTime > INVISIBLE_MS_MAX) {
      const remark = `a message can be invisible for 0 to ${INVISIBLE_MS_MAX} ms, not for ${invisibleTime}`
      return refusedChange({ code: ResponseCode.INVALID_PARAMETER, remark })
    }
    const named = parseExtraInfo(header.extraInfo, request.code)
    const nowMs = clock.nowMs()
    const untilMs = nowMs + invisibleTime
    const { reviveQid } = named
    if (reviveQid === ORDER_REVIVE_QID) {
      const { popTime } = named
      const message = { queueOffset, poppedMs: popTime, untilMs }
      await this.#certain([() => store.orderedPops.changeInvisible({ group, topic, queueId }, message)])
      this.#options.unblocked(group, { topic, queueId })
      return answeredChange({ popTime, invisibleTime: Math.max(0, untilMs - popTime), reviveQid })
    }
    const handle = { group, topic, queueId, queueOffset, untilMs: named.popTime + named.invisibleTime }
    const [isChanged] = await this.#certain([() => store.pops.changeInvisible(handle, untilMs)])
    if (isChanged === true) this.#options.popped(untilMs)
    return answeredChange({ popTime: nowMs, invisibleTime, reviveQid })
  }

  async #ackMany(ack: BatchAck, caughtUp: () => Promise<void>): Promise<RemotingCommand> {
    const { store } = this.#context
    const { consumerGroup, queueId, popTime, invisibleTime } = ack
    const topic = realTopic(ack.topic, consumerGroup, ack.retry)
    const untilMs = popTime + invisibleTime
    if (topic === undefined || !isCount(queueId) || !isCount(popTime) || !isCount(invisibleTime) || !isCount(untilMs)) {
      return createResponse(ResponseCode.INVALID_PARAMETER, 'an acknowledgement names no pop')
    }
    const known = ack.queueOffsets.filter(isCount)
    // A leader that others have replaced lacks the newest ones.
    if (known.some((offset) => offset > store.maxOffset(topic, queueId))) await caughtUp()
    const minOffset = store.minOffset(topic, queueId)
    const maxOffset = store.maxOffset(topic, queueId)
    const queueOffsets = known.filter((offset) => offset >= minOffset && offset <= maxOffset)
    if (queueOffsets.length === 0) return createResponse(ResponseCode.SUCCESS)
    if (ack.reviveQueueId === ORDER_REVIVE_QID) {
      return this.#ackInOrder({ consumerGroup, topic, queueId }, queueOffsets, popTime, caughtUp)
    }
    const handles = queueOffsets.map((queueOffset) => ({ group: consumerGroup, topic, queueId, queueOffset, untilMs }))
    await this.#certain(
      handles.map((handle) => () => store.pops.acknowledge(handle)),
      caughtUp,
    )
    return createResponse(ResponseCode.SUCCESS)
  }

  /** For one request: whoever asks first asks for all of it, since all it names was popped before it came. */
  #asking(): () => Promise<void> {
    let asked: Promise<void> | null = null
    return () => (asked ??= this.#context.store.caughtUp())
  }

  /** Those of `changes` that have nothing to change are made once more when all that others have popped is applied here. @returns which did. */
  async #certain(changes: readonly (() => Promise<boolean>)[], caughtUp = this.#asking()): Promise<readonly boolean[]> {
    const done = await Promise.all(changes.map((change) => change()))
    if (done.every((isDone) => isDone)) return done
    await caughtUp()
    return Promise.all(changes.map(async (change, i) => done[i] === true || change()))
  }

  async #ackInOrder(
    { consumerGroup: group, topic, queueId }: Named,
    queueOffsets: readonly number[],
    popTime: number,
    caughtUp = this.#asking(),
  ): Promise<RemotingCommand> {
    const { store } = this.#context
    const queue = { group, topic, queueId }
    const [isEnded] = await this.#certain([() => store.orderedPops.acknowledge(queue, queueOffsets, popTime)], caughtUp)
    this.#options.unblocked(group, queue)
    const offset = store.consumerOffset(group, topic, queueId) ?? 0
    const isKnown =
      isEnded === true || queueOffsets.every((one) => one < offset || !this.#isLastPop(queue, popTime, one))
    if (isKnown) return createResponse(ResponseCode.SUCCESS)
    const remark = `offset is illegal, key:${topic}@${group}@${queueId}, old:${offset}, commit:${queueOffsets.join(',')}`
    return createResponse(ResponseCode.MESSAGE_ILLEGAL, remark)
  }

  /** Whether the last pop of the queue was then, and did not give out the message. */
  #isLastPop(queue: { group: string; topic: string; queueId: number }, popTime: number, queueOffset: number): boolean {
    const batch = this.#context.store.orderedPops.batch(queue)
    return batch?.poppedMs === popTime && !batch.entries.some((entry) => entry.queueOffset === queueOffset)
  }

  #queueFault(named: Named, connection: Connection): Refused | null {
    const topic = this.#context.topics.find(named.topic)
    if (topic === undefined) return topicNotExist(named.topic)
    if (named.queueId >= 0 && named.queueId < topic.readQueueNums) return null
    return { code: ResponseCode.MESSAGE_ILLEGAL, remark: illegalQueue(named, topic, connection.remoteAddress) }
  }

  #offsetFault({ topic, queueId, offset }: PopQueue & { offset: number }, maxOffset: number): Refused | null {
    const minOffset = this.#context.store.minOffset(topic, queueId)
    if (offset >= Math.max(0, minOffset) && offset <= maxOffset) return null
    const remark = `offset is illegal, key:${topic}@${queueId}, commit:${offset}, store:${minOffset}~${maxOffset}`
    return { code: ResponseCode.NO_MESSAGE, remark }
  }
}

function answeredChange(fields: ChangeInvisibleTimeResponse): RemotingCommand {
  return ChangeInvisibleTimeResponse.response(ResponseCode.SUCCESS, fields)
}

/** With the header: clients read it before they look at the code. */
function refusedChange({ code, remark }: Refused): RemotingCommand {
  const fields = ChangeInvisibleTimeResponse.encode({ popTime: 0, invisibleTime: 0, reviveQid: 0 })
  return createResponse(code, remark, fields)
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}
