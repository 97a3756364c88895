/** The servers under test: a group that this run started and may kill members of, or one that was there before. */
import { type Sockets, tcpSockets } from '@dledger-ts/remoting'
import { FastTry } from '../processes/group/fast-try.ts'
import { MUTUAL, tlsSockets } from '../processes/group/tls.ts'
import type { Options } from './options.ts'

/** Open transactions are asked for soon, and delayed messages may be called back: Apache's default is not to. */
export const SCENARIOS_CONF = {
  transactionTimeOut: '2000',
  transactionCheckInterval: '2000',
  recallMessageEnable: 'true',
}

export interface TestGroup {
  readonly namesrv: string
  /** Null where the group is somebody else's. */
  readonly failover: FastTry | null
  /** How it is reached. */
  readonly sockets: Sockets
  close(): Promise<void>
}

/** Starts our group with empty data, or takes the one that the options name. */
export async function openGroup(options: Options, isTls: boolean): Promise<TestGroup> {
  if (options.namesrv !== undefined) {
    return {
      namesrv: options.namesrv,
      failover: null,
      sockets: isTls ? tlsSockets() : tcpSockets,
      close: async () => {},
    }
  }
  const group = await FastTry.create({
    conf: SCENARIOS_CONF,
    ...(isTls ? { tls: MUTUAL } : {}),
    ...(options.groupScript === undefined ? {} : { script: options.groupScript }),
  })
  try {
    await group.start('--fresh')
    await group.leader()
  } catch (failure) {
    await group.close()
    throw failure
  }
  return {
    namesrv: group.namesrv,
    failover: options.failover ? group : null,
    sockets: isTls ? tlsSockets() : tcpSockets,
    close: () => group.close(),
  }
}
