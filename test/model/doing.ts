/** Does one step of a run, and lets what it began do what it can at once. */
import type { Session } from './session.ts'
import type { Step, Whom } from './steps.ts'
import { type BrokerMember, turn } from './world.ts'

export async function doStep(session: Session, step: Step): Promise<void> {
  await begin(session, step)
  await turn()
}

async function begin(session: Session, step: Step): Promise<void> {
  const { world } = session
  switch (step.do) {
    case 'send': {
      const member = memberOf(session, step.to)
      for (let i = 0; i < step.count; i++) session.send(step.sender, member, step.queue, step.way)
      return
    }
    case 'batch':
      return session.sendBatch(step.sender, memberOf(session, step.to), step.queue, step.count)
    case 'end':
      return session.producers.endLatest(memberOf(session, step.to), step.half, step.outcome)
    case 'heartbeat':
      return session.producers.heartbeat(step.sender)
    case 'send again':
      return session.sendAgain(memberOf(session, step.to), step.back)
    case 'pull filtered': {
      const end = session.queues[step.queue]?.knownEnd ?? 0
      const from = Math.max(0, end - step.back)
      return session.pullFiltered(memberOf(session, step.of), step.queue, from, step.filter)
    }
    case 'pull': {
      const end = session.queues[step.queue]?.knownEnd ?? 0
      return session.pull(memberOf(session, step.of), step.queue, Math.max(0, end - step.back))
    }
    case 'commit offset':
      return session.commitOffset(memberOf(session, step.to), step.queue, step.by)
    case 'query offset':
      return session.queryOffset(memberOf(session, step.of), step.queue)
    case 'pop':
      return session.pop(memberOf(session, step.of), step.count, step.invisibleMs)
    case 'ack':
      return session.ackPopped(memberOf(session, step.to), step.count)
    case 'change invisible':
      return session.changeInvisible(memberOf(session, step.to), step.count, step.invisibleMs)
    case 'lock':
      return session.ordered.lock(memberOf(session, step.at), `c${step.client}`)
    case 'unlock':
      return session.ordered.unlock(memberOf(session, step.at), `c${step.client}`)
    case 'pop in order':
      return session.ordered.pop(memberOf(session, step.of), step.count, step.invisibleMs)
    case 'ack in order':
      return session.ordered.acknowledge(memberOf(session, step.to), step.count)
    case 'delete topic':
      return session.deleteTopic(memberOf(session, step.to))
    case 'create topic':
      return session.createTopic(memberOf(session, step.to))
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
    case 'slow':
      return world.slow(memberOf(session, step.who), step.times)
    case 'fill':
      // To find room old log files go.
      if (session.expires) world.fill(memberOf(session, step.who))
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
