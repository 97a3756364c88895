/** Pulls that wait at a broker, over many connections, and when each is answered. */
import { PullMessageRequest, PullMessageResponse, RemotingClient, ResponseCode } from '@dledger-ts/remoting'

/** Longer than a broker holds a pull. */
const ANSWER_TIMEOUT_MS = 60_000
const HOLD_MS = 25_000
const SUSPEND_AND_OWN_SUBSCRIPTION = 6

export interface Queue {
  readonly topic: string
  readonly queueId: number
}

export class WaitingPulls {
  readonly #address: string
  readonly #clients: readonly RemotingClient[]
  #next = 0
  /** Answers that brought nothing: deadlines. */
  empty = 0

  constructor(address: string, connections: number) {
    this.#address = address
    this.#clients = Array.from({ length: connections }, () => new RemotingClient())
  }

  /** Asks for what comes behind `queueOffset`. @param found called with when the message was there, and the offset behind it. */
  pull({ topic, queueId }: Queue, queueOffset: number, found: (atMs: number, next: number) => void): void {
    const request = PullMessageRequest.request({
      consumerGroup: 'bench',
      topic,
      queueId,
      queueOffset,
      maxMsgNums: 32,
      sysFlag: SUSPEND_AND_OWN_SUBSCRIPTION,
      commitOffset: 0,
      suspendTimeoutMillis: HOLD_MS,
      subscription: '*',
      subVersion: 0,
      expressionType: 'TAG',
    })
    const client = this.#clients[this.#next++ % this.#clients.length] as RemotingClient
    client.invokeCallback(this.#address, request, ANSWER_TIMEOUT_MS, {
      responded: (answer) => {
        if (answer.code === ResponseCode.SUCCESS) {
          found(performance.now(), PullMessageResponse.decode(answer.extFields).nextBeginOffset)
        } else if (answer.code === ResponseCode.PULL_NOT_FOUND) this.empty++
        else throw new Error(`a pull of ${topic} ${queueId} at ${queueOffset}: ${answer.code} ${answer.remark ?? ''}`)
      },
      failed: () => {},
    })
  }

  close(): void {
    for (const client of this.#clients) client.close()
  }
}
