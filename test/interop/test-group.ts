/** The servers under test: a group that this run started and may kill members of, or one that was there before. */
import { FastTry } from '../processes/group/fast-try.ts'
import type { Options } from './options.ts'

export interface TestGroup {
  readonly namesrv: string
  /** Null where the group is somebody else's. */
  readonly failover: FastTry | null
  close(): Promise<void>
}

/** Starts our group with empty data, or takes the one that the options name. */
export async function openGroup(options: Options): Promise<TestGroup> {
  if (options.namesrv !== undefined) {
    return { namesrv: options.namesrv, failover: null, close: async () => {} }
  }
  const group = await FastTry.create(options.groupScript === undefined ? {} : { script: options.groupScript })
  try {
    await group.start('--fresh')
    await group.leader()
  } catch (failure) {
    await group.close()
    throw failure
  }
  return { namesrv: group.namesrv, failover: options.failover ? group : null, close: () => group.close() }
}
