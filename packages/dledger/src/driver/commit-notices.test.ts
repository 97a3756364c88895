import { describe, expect, it } from 'vitest'
import { COMMIT_NOTICE_MS, CommitNotices } from './commit-notices.ts'

/** A core that owes or does not, and a clock whose timers are fired by hand. */
function world() {
  const timers: { readonly delayMs: number; readonly callback: () => void }[] = []
  const told: string[] = []
  const state = { owes: false, runs: true }
  const notices = new CommitNotices({
    clock: {
      after: (delayMs, callback) => {
        timers.push({ delayMs, callback })
        return () => {}
      },
    },
    raft: {
      get owesCommitNotice() {
        return state.owes
      },
      tellCommit: () => {
        told.push('core')
        state.owes = false
      },
    },
    whileRunning: (work) => {
      if (state.runs) work()
    },
    onTold: () => {
      told.push('drained')
      notices.look()
    },
  })
  return { timers, told, state, notices }
}

describe('commit notices', () => {
  it('a commit that no entries carry is told after a moment, with one timer for all of it', () => {
    const { timers, told, state, notices } = world()
    state.owes = true
    notices.look()
    notices.look()
    expect(timers.map(({ delayMs }) => delayMs)).toEqual([COMMIT_NOTICE_MS])
    expect(told).toEqual([])
    timers[0]?.callback()
    expect(told).toEqual(['core', 'drained'])
    state.owes = true
    notices.look()
    expect(timers).toHaveLength(2)
  })

  it('what entries have told meanwhile is not told again', () => {
    const { timers, told, state, notices } = world()
    state.owes = true
    notices.look()
    state.owes = false
    timers[0]?.callback()
    expect(told).toEqual([])
  })

  it('what came to be owed after entries had told the rest waits anew, once', () => {
    const { timers, told, state, notices } = world()
    state.owes = true
    notices.look()
    state.owes = false
    notices.look()
    state.owes = true
    notices.look()
    timers[0]?.callback()
    expect(told).toEqual([])
    expect(timers).toHaveLength(2)
    timers[1]?.callback()
    expect(told).toEqual(['core', 'drained'])
    expect(timers).toHaveLength(2)
  })

  it('an idle member arms no timer, and one that stopped tells nothing', () => {
    const { timers, told, state, notices } = world()
    notices.look()
    expect(timers).toEqual([])
    state.owes = true
    notices.look()
    state.runs = false
    timers[0]?.callback()
    expect(told).toEqual([])
  })
})
