package compare;

import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;

/**
 * Sends until a message is acknowledged: the servers may be starting. It makes the topic, and tells who leads.
 *
 * Each attempt is for another topic: the client never makes a topic of which it once heard while no broker led.
 */
final class FirstAck {
    private static final long AGAIN_MS = 20;

    static String run(Wish wish) throws Exception {
        long deadline = System.nanoTime() + wish.number("within") * 1_000_000_000L;
        DefaultMQProducer producer = Clients.producer(wish);
        try {
            byte[] body = Clients.body(16);
            for (int attempt = 0; ; attempt++) {
                String failure;
                String topic = wish.text("topic") + (attempt == 0 ? "" : "_" + attempt);
                try {
                    SendResult result = producer.send(new Message(topic, body), 1000);
                    if (Clients.stored(result)) return "{\"port\":" + Clients.port(result) + "}";
                    failure = result.getSendStatus().name();
                } catch (Exception refused) {
                    failure = String.valueOf(refused);
                }
                if (System.nanoTime() > deadline) throw new IllegalStateException("no acknowledgement; the last: " + failure);
                Thread.sleep(AGAIN_MS);
            }
        } finally {
            producer.shutdown();
        }
    }
}
