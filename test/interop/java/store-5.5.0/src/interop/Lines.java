package interop;

import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.zip.CRC32;
import org.apache.rocketmq.common.message.MessageExt;

/** One line for each message, however it was read: equal lines are equal messages. */
final class Lines {
    /** Set by the client after a pull. */
    private static final Set<String> ADDED = Set.of("MIN_OFFSET", "MAX_OFFSET", "CONSUME_START_TIME");

    private Lines() {}

    static String record(MessageExt message) {
        byte[] body = message.getBody() == null ? new byte[0] : message.getBody();
        return "record " + message.getCommitLogOffset() + " " + message.getStoreSize() + " " + message.getTopic() + " "
            + message.getQueueId() + " " + message.getQueueOffset() + " " + message.getSysFlag() + " " + message.getFlag() + " "
            + message.getBornTimestamp() + " " + message.getStoreTimestamp() + " " + host(message.getBornHost()) + " "
            + host(message.getStoreHost()) + " " + message.getReconsumeTimes() + " " + message.getPreparedTransactionOffset() + " "
            + body.length + " " + crc(body) + " " + crc(properties(message.getProperties()));
    }

    private static byte[] properties(Map<String, String> properties) {
        StringBuilder text = new StringBuilder();
        new TreeMap<>(properties == null ? Map.of() : properties).forEach((name, value) -> {
            if (!ADDED.contains(name)) {
                text.append(name).append('\u0001').append(value).append('\u0002');
            }
        });
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    private static String host(SocketAddress address) {
        InetSocketAddress internet = (InetSocketAddress) address;
        StringBuilder hex = new StringBuilder();
        for (byte part : internet.getAddress().getAddress()) {
            hex.append(String.format("%02x", part));
        }
        return hex + ":" + internet.getPort();
    }

    static long crc(byte[] bytes) {
        CRC32 crc = new CRC32();
        crc.update(bytes);
        return crc.getValue();
    }
}
