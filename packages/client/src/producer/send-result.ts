/** What a broker says of a message that it took. Pure. */
import { ResponseCode, type MessageQueue, type RemotingCommand, SendMessageResponse } from '@dledger-ts/remoting'

/** All four mean that the message is stored; the last three, from classic masters only, that its safety is not confirmed. */
export type SendStatus = 'SEND_OK' | 'FLUSH_DISK_TIMEOUT' | 'FLUSH_SLAVE_TIMEOUT' | 'SLAVE_NOT_AVAILABLE'

export interface SendResult {
  readonly status: SendStatus
  /** The producer's own id of the message (UNIQ_KEY); for a batch, those of its messages joined by commas. */
  readonly msgId: string
  /** The broker's id: where the message is stored. For a batch, joined by commas. */
  readonly offsetMsgId: string
  readonly queue: MessageQueue
  /** For a batch, that of the first message. */
  readonly queueOffset: number
}

/** @returns undefined when the code means that the message was not stored. Hot. */
export function sendStatus(responseCode: number): SendStatus | undefined {
  switch (responseCode) {
    case ResponseCode.SUCCESS:
      return 'SEND_OK'
    case ResponseCode.FLUSH_DISK_TIMEOUT:
      return 'FLUSH_DISK_TIMEOUT'
    case ResponseCode.FLUSH_SLAVE_TIMEOUT:
      return 'FLUSH_SLAVE_TIMEOUT'
    case ResponseCode.SLAVE_NOT_AVAILABLE:
      return 'SLAVE_NOT_AVAILABLE'
    default:
      return undefined
  }
}

/** @throws RemotingError `BAD_HEADER`. Hot. */
export function sendResult(fields: {
  status: SendStatus
  response: RemotingCommand
  msgId: string
  queue: MessageQueue
}): SendResult {
  const { status, response, msgId, queue } = fields
  const header = SendMessageResponse.decode(response.extFields)
  const { brokerName, topic } = queue
  const { msgId: offsetMsgId, queueId, queueOffset } = header
  return { status, msgId, offsetMsgId, queue: { brokerName, queueId, topic }, queueOffset }
}
