/** The header of a pull that wants whatever is in a queue from an offset on, and does not wait for more. */
import type { ExtFields } from '@dledger-ts/remoting'

export interface PullWish {
  readonly consumerGroup: string
  readonly topic: string
  /** Default 0. */
  readonly queueId?: number
  /** Default 0. */
  readonly queueOffset?: number
}

export function pullFields({ consumerGroup, topic, queueId = 0, queueOffset = 0 }: PullWish): ExtFields {
  return {
    consumerGroup,
    topic,
    queueId: String(queueId),
    queueOffset: String(queueOffset),
    maxMsgNums: '32',
    sysFlag: '4',
    commitOffset: '0',
    suspendTimeoutMillis: '0',
    subscription: '*',
    subVersion: '0',
    expressionType: 'TAG',
  }
}
