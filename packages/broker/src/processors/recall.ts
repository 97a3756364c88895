/**
 * RECALL_MESSAGE (370): a producer calls a message back that waits for its time.
 *
 * Keeps: code 0 means that the message will not be delivered. Apache's broker answers 0 without looking; here a message that is
 * delivered, called back already or unknown is 604.
 *
 * Source: org.apache.rocketmq.broker.processor.RecallMessageProcessor.
 */
import { isWritable } from '@dledger-ts/protocol'
import {
  type Connection,
  createResponse,
  type ExtFields,
  RecallMessageRequest,
  RecallMessageResponse,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import type { BrokerContext } from '../context.ts'
import { decodeRecallHandle } from '../recall-handle.ts'
import type { Processor } from './registry.ts'

export function recallProcessors(context: BrokerContext): [number, Processor][] {
  const handle = (_connection: Connection, request: RemotingCommand) => recall(context, request)
  return [[RequestCode.RECALL_MESSAGE, { served: 'leader', handle }]]
}

async function recall(context: BrokerContext, request: RemotingCommand): Promise<RemotingCommand> {
  const { config, clock, store, topics } = context
  const region: ExtFields = { MSG_REGION: config.regionId }
  const refuse = (code: number, why: string) => createResponse(code, `recall failed, ${why}`, region)
  const header = RecallMessageRequest.decode(request.extFields)
  if (!config.recallMessageEnable) return refuse(ResponseCode.NO_PERMISSION, 'operation is forbidden')
  if (!isWritable(config.brokerPermission) && !config.allowRecallWhenBrokerNotWriteable) {
    return refuse(ResponseCode.SERVICE_NOT_AVAILABLE, 'broker service not available')
  }
  if (topics.find(header.topic) === undefined) {
    return refuse(ResponseCode.TOPIC_NOT_EXIST, `the topic[${header.topic}] not exist`)
  }
  const meant = decodeRecallHandle(header.recallHandle)
  if (meant === undefined) {
    return createResponse(ResponseCode.ILLEGAL_OPERATION, 'recall handle is invalid', region)
  }
  if (meant.topic !== header.topic) return refuse(ResponseCode.ILLEGAL_OPERATION, 'topic not match')
  if (meant.brokerName !== config.brokerName) {
    return refuse(ResponseCode.ILLEGAL_OPERATION, 'broker service not available')
  }
  const leftMs = meant.deliverMs - clock.nowMs()
  if (!(leftMs > 0 && leftMs < config.timerMaxDelaySec * 1_000)) {
    return refuse(ResponseCode.ILLEGAL_OPERATION, 'timestamp invalid')
  }
  const { topic, deliverMs, uniqKey } = meant
  if (!(await store.recallTimer({ topic, deliverMs, uniqKey }))) {
    return refuse(ResponseCode.ILLEGAL_OPERATION, 'no such message waits for its time')
  }
  const answer = RecallMessageResponse.response(ResponseCode.SUCCESS, { msgId: uniqKey })
  answer.extFields = { ...answer.extFields, ...region }
  return answer
}
