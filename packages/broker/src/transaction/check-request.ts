/**
 * CHECK_TRANSACTION_STATE (39): the question for one half message. The body is its record as the client will decode it, with the
 * topic and queue that it is meant for, and how often it was asked for as TRANSACTION_CHECK_TIMES. The place is that at which
 * the half message was put first, wherever its record stands: Apache's broker stores it anew for each question, and asks with the new place.
 *
 * Source: AbstractTransactionalMessageCheckListener.sendCheckMessage, Broker2Client.checkProducerTransactionState.
 */
import {
  getProperty,
  type MessageRecord,
  offsetMsgId,
  PropertyName,
  RecordDraft,
  setProperty,
  SystemTopic,
} from '@dledger-ts/protocol'
import { CheckTransactionStateRequest, type RemotingCommand } from '@dledger-ts/remoting'

/** @param half as its producer knows it. @param checkTimes this question included. */
export function checkRequest(half: MessageRecord, checkTimes: number, brokerName: string): RemotingCommand {
  const { physicalOffset, queueOffset, properties, storeHost } = half
  const uniqKey = getProperty(properties, PropertyName.UNIQ_KEY)
  const draft = new RecordDraft({
    ...half,
    topic: getProperty(properties, PropertyName.REAL_TOPIC) ?? half.topic,
    queueId: Number(getProperty(properties, PropertyName.REAL_QUEUE_ID) ?? half.queueId),
    properties: setProperty(properties, PropertyName.TRANSACTION_CHECK_TIMES, String(checkTimes)),
  })
  const body = Buffer.allocUnsafe(draft.bytes)
  draft.encode(body, 0, half)
  return CheckTransactionStateRequest.request(
    {
      topic: SystemTopic.TRANSACTION_HALF,
      tranStateTableOffset: queueOffset,
      commitLogOffset: physicalOffset,
      msgId: uniqKey,
      transactionId: uniqKey,
      offsetMsgId: offsetMsgId(storeHost, physicalOffset),
      brokerName,
    },
    body,
  )
}
