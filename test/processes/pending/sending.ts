/** What both loads send with. */
import { createRequest, RemotingError, type RemotingCommand, RequestCode } from '@dledger-ts/remoting'

/** As long as clients wait. */
export const ANSWER_MS = 3_000

export interface Member {
  readonly id: string
  readonly address: string
}

export interface Sending {
  readonly group: string
  readonly topic: string
  readonly sysFlag: number
  readonly properties: string
  readonly body: string
}

/** SEND_MESSAGE_V2 to queue 0 of a topic. */
export function sendRequest({ group, topic, sysFlag, properties, body }: Sending): RemotingCommand {
  return createRequest(
    RequestCode.SEND_MESSAGE_V2,
    {
      a: group,
      b: topic,
      c: 'TBW102',
      d: '1',
      e: '0',
      f: String(sysFlag),
      g: String(Date.now()),
      h: '0',
      i: properties,
      j: '0',
      k: 'false',
      m: 'false',
    },
    Buffer.from(body),
  )
}

/** @returns the answer; undefined when none came and nobody knows what was done. */
export async function ended(answer: Promise<RemotingCommand>): Promise<RemotingCommand | undefined> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof RemotingError) return undefined
    throw error
  }
}
