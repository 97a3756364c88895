/** Does the steps of a run, one after the other. */
import type { Session } from './session.ts'
import type { Step, Whom } from './steps.ts'
import type { BrokerMember } from './world.ts'

export async function doStep(session: Session, step: Step): Promise<void> {
  const { world } = session
  switch (step.do) {
    case 'send': {
      const member = memberOf(session, step.to)
      for (let i = 0; i < step.count; i++) session.send(step.sender, member, step.queue)
      return
    }
    case 'pull': {
      const end = session.queues[step.queue]?.knownEnd ?? 0
      return session.pull(memberOf(session, step.of), step.queue, Math.max(0, end - step.back))
    }
    case 'wait':
      return world.run(step.ms)
    case 'die':
      return world.kill(memberOf(session, step.who), step.death)
    case 'die all':
      for (const member of world.members) world.kill(member, step.death)
      return
    case 'stop':
      return world.stop(memberOf(session, step.who))
    case 'start':
      for (const member of world.members) world.startMember(member)
      return
    case 'cut':
      if (step.from !== step.to) world.cut(memberOf(session, step.from), memberOf(session, step.to))
      return
    case 'isolate': {
      const who = memberOf(session, step.who)
      for (const other of world.members) {
        if (other === who) continue
        world.cut(who, other)
        world.cut(other, who)
      }
      return
    }
    case 'heal':
      return world.healAll()
    case 'pause':
      return world.pause(memberOf(session, step.who))
    case 'resume':
      for (const member of world.members) world.resume(member)
      return
    case 'transfer':
      return world.transfer(memberOf(session, step.to))
    default:
      throw new Error(`no such step: ${JSON.stringify(step satisfies never)}`)
  }
}

function memberOf({ world }: Session, whom: Whom): BrokerMember {
  const member = whom === 'leader' ? (world.leader() ?? world.members[0]) : world.members[whom]
  if (member === undefined) throw new Error(`no member ${whom}`)
  return member
}
