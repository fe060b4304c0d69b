package com.example.webhooks;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.HexFormat;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.transaction.support.TransactionTemplate;
import org.springframework.web.bind.annotation.*;

@RestController
public class WebhookController {
    private final JdbcTemplate db;
    private final TransactionTemplate transaction;
    private final ObjectMapper mapper = new ObjectMapper();

    public WebhookController(JdbcTemplate db, TransactionTemplate transaction) {
        this.db = db;
        this.transaction = transaction;
    }

    @PostMapping("/webhooks")
    public void receive(@RequestHeader("Idempotency-Key") String key, @RequestHeader("Ce-Type") String type,
            @RequestBody byte[] body) throws Exception {
        byte[] hash = MessageDigest.getInstance("SHA-256").digest(key.getBytes(StandardCharsets.UTF_8));
        JsonNode entry = type.equals("com.instagram.messages") ? mapper.readTree(body).at("/entry/0") : mapper.nullNode();
        transaction.execute(status -> {
            int handled = db.update("INSERT INTO handled_events (id) VALUES (?) ON CONFLICT DO NOTHING", HexFormat.of().formatHex(hash));
            if (handled == 1) {
                for (JsonNode item : entry.path("messaging")) {
                    db.update("INSERT INTO messages (account, sender, text) VALUES (?, ?, ?)",
                            entry.get("id").asText(), item.at("/sender/id").asText(), item.at("/message/text").textValue());
                }
            }
            return null;
        });
    }
}
